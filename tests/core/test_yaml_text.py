"""Reading YAML: plain data, the first document of several, and where broken text is broken."""

from collections.abc import Callable

import pytest

from bt_core.yaml_text import BrokenYaml, documents, first_document, read_yaml


def test_a_text_is_one_document() -> None:
    assert read_yaml("a: [1, two]\n") == {"a": [1, "two"]}
    assert read_yaml("") is None
    with pytest.raises(BrokenYaml, match="line 2"):
        read_yaml("a: 1\n---\nb: 2\n")


def test_the_first_document_is_read_and_the_rest_is_not() -> None:
    assert first_document("a: 1\n---\nb: [\n") == {"a": 1}
    assert first_document("") is None


@pytest.mark.parametrize(
    ("text", "line"), [("a: [", 1), ("a: 1\nb: [", 2), ("a: [\n", 2), ("a: b: c\n", 1), ("a:\n  - b\n c: d\n", 3)]
)
def test_broken_text_says_its_line(text: str, line: int) -> None:
    with pytest.raises(BrokenYaml) as broken:
        read_yaml(text)
    assert broken.value.line == line


def test_a_text_cannot_name_code() -> None:
    with pytest.raises(BrokenYaml):
        read_yaml("!!python/object/apply:os.getcwd []")


def _billion(levels: int, width: int) -> str:
    """A list of `width` values, which `levels` lists in turn hold that many times, by aliases."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2024-13-45\n", 2, "2024-13-45 is no timestamp"),
        ("a: !!timestamp x\n", 1, "x is no timestamp"),
        ("a:\n  - !!int x\n", 2, "x is no int"),
        ("a: !!float x\n", 1, "x is no float"),
        ("a: !!bool x\n", 1, "x is no bool"),
        ("a: .nan\n", 1, ".nan is no finite number"),
        ("a: 1\nb: -.inf\n", 2, "-.inf is no finite number"),
        (f"a: {'9' * 5000}\n", 1, "99999999999999999999... is no int"),
        (f"a: 0x{'f' * 5000}\n", 1, "0xffffffffffffffffff... has more than 300 digits"),
        ("a: !!binary aGk=\n", 1, "a binary is no JSON value"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key a is there twice"),
        ("a:\n  b: 1\n  b: 1\n", 3, "the key b is there twice"),
        ("1: a\n", 1, "the key 1 is no text: write it in quotes"),
        (f"a: {'[' * 3000}{']' * 3000}\n", 1, "it is nested more than 100 levels deep"),
        ("\n".join("  " * level + "a:" for level in range(3000)), 101, "it is nested more than 100 levels deep"),
        (_billion(10, 10), 6, "its aliases stand for more than 1,000,000 values"),
        (_billion(200, 1), 101, "it is nested more than 100 levels deep"),
        ("a: 1\nb: &b [*b]\n", 2, "an alias stands for what it lies in"),
        ("a: 1\nb: \ud83d\n", 2, "half a surrogate pair"),
    ],
    ids=[
        *("date", "timestamp", "int", "float", "bool", "nan", "infinity", "digits", "hexadecimal", "binary"),
        *("key-twice", "inner-key-twice", "number-as-key", "deep", "deep-mappings", "alias-bomb", "alias-chain"),
        *("endless", "half-a-surrogate-pair"),
    ],
)
@pytest.mark.parametrize("read", [read_yaml, first_document, documents])
def test_a_hostile_text_is_refused_with_its_line(
    read: Callable[[str], object], text: str, line: int, reason: str
) -> None:
    with pytest.raises(BrokenYaml) as broken:
        read(text)
    assert (broken.value.line, broken.value.reason) == (line, reason)


def test_aliases_that_stand_for_little_are_replaced() -> None:
    assert read_yaml("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }
