"""What is read as JSON, and what is refused in a sentence."""

import json

import pytest

from bt_core.json_text import DEEPEST, BrokenJson, parse_json


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "é😀"]}, [], "x", 10**299, -0.0, {"": {}}])
def test_what_json_can_hold_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        ("[NaN]", "NaN is no JSON number"),
        ("-Infinity", "-Infinity is no JSON number"),
        ("1e999", "the number 1e999 is too large"),
        ("9" * 5000, "has more than 300 digits"),
        ("[" * 3000 + "]" * 3000, "nested more than 100 levels"),
        ("[" * 100_000, "nested more than 100 levels"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than 100 levels"),
        ('{"a": ["\\ud83d"]}', "half a surrogate pair"),
        ('{"\\uDE00": 1}', "half a surrogate pair"),
        (b'"\xff"', "not UTF-8 text, byte 1"),
        ('{"a"}', "delimiter at line 1, column 5"),
        ("", "Expecting value at line 1, column 1"),
    ],
)
def test_what_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(BrokenJson, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('[\n{"a": "\\ud83d\\ude00"},\n {"a": "x\\ud83d"}]', 3, 10),
        ('"\\ud83d\\ud83d\\ude00"', 1, 2),
        ('"\\\\ud83d \\uDE00"', 1, 10),
        ('"\\ud83d\\n"', 1, 2),
    ],
    ids=["in a list", "two first halves", "after a backslash", "before another escape"],
)
def test_half_a_pair_is_found(text: str, line: int, column: int) -> None:
    with pytest.raises(BrokenJson) as caught:
        parse_json(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_the_deepest_that_is_read() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json(json.dumps([[1] for _ in range(1000)]))
