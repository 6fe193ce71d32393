"""Strategies that damage valid files: values replaced, keys deleted or doubled, numbers made huge, bits turned."""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

#: What takes the place of a value. `Raw` goes into the text as it stands, since JSON's writer does not know it.
RAW = "\x00raw:"
RAW_VALUES = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "[" * 3000 + "]" * 3000,
    '"\\ud83d"',
    '{"a":1,"a":2}',
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**32, 2**53 + 1, 10**299, -(10**20), 0.5, 1.5, -0.25, 1e308, 5e-324),
    *("", "x", "../side", "/etc/passwd", "a/../..", "program.json", "s3://b/k", "NaN", "\x00", "é\u2028", "9" * 400),
    *([], {}, [[]], [0], {"": None}, [1, 2], ["a", "b"], {"score": 7}, "x" * 5000, "0 0 2 * * *", "2024-13-45"),
    *(f"{RAW}{text}" for text in RAW_VALUES),
)
WORDS = (
    *("9" * 5000, "2024-13-45", "!!int x", "!!timestamp x", "&a [*a]", "*a", ".inf", ".nan", "~", "[" * 200, "{", "}"),
    *(
        "\x00",
        "\u0663",
        "\ud7ff",
        "---\n",
        "\n",
        ": ",
        "- ",
        "? ",
        "#",
        "'",
        '"',
        "true",
        "-0",
        "1e400",
        "<<",
        "!",
        "%",
    ),
)


def mutated_json(contents: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Texts of JSON documents, most of them with a few changes."""
    return st.one_of(_changed(contents), _changed(contents), _changed(contents).flatmap(_with_noise))


def mutated_lines(rows: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Texts of JSONL files of one to three lines."""
    return st.lists(mutated_json(rows), min_size=1, max_size=3).map(b"\n".join)


def mutated_text(texts: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Texts with a few bytes, words or lines changed."""
    return st.sampled_from([text.encode() for text in texts]).flatmap(_with_noise)


@st.composite
def _changed(draw: st.DrawFn, contents: Sequence[Any]) -> bytes:
    value = json.loads(json.dumps(draw(st.sampled_from(contents))))
    for _ in range(draw(st.integers(0, 3))):
        value = _change(draw, value)
    text = json.dumps(value)
    for raw in RAW_VALUES:
        text = text.replace(json.dumps(RAW + raw), raw)
    return text.encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in the value."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        item = stack.pop()
        pairs = list(item.items()) if isinstance(item, dict) else list(enumerate(item))
        found += [(item, key) for key, _ in pairs]
        stack += [part for _, part in pairs if isinstance(part, dict | list)]
    return found


def _change(draw: st.DrawFn, value: Any) -> Any:
    places = _places(value) if isinstance(value, dict | list) else []
    if not places or draw(st.integers(0, 30)) == 0:
        return deepcopy(draw(st.sampled_from(VALUES)))
    holder, key = places[draw(st.integers(0, len(places) - 1))]
    match draw(st.sampled_from(["replace", "replace", "replace", "delete", "double", "nest", "rename", "swap"])):
        case "delete":
            del holder[key]
        case "double" if isinstance(holder, list):
            holder.append(holder[key])
        case "nest":
            holder[key] = [holder[key]] if draw(st.booleans()) else {"a": holder[key]}
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from(["", "x", "schema", "score", "../side", "é", "0", "-1", "1e3"]))] = holder.pop(
                key
            )
        case "swap":
            other, place = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = json.loads(json.dumps(other[place])) if _has(other, place) else None
        case _:
            holder[key] = deepcopy(draw(st.sampled_from(VALUES)))
    return value


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


@st.composite
def _with_noise(draw: st.DrawFn, text: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(text) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "word", "word", "drop", "repeat"])):
            case "flip" if text:
                text = text[:at] + bytes([text[at] ^ (1 << draw(st.integers(0, 7)))]) + text[at + 1 :]
            case "cut":
                text = text[:at]
            case "insert":
                text = text[:at] + draw(st.binary(min_size=1, max_size=4)) + text[at:]
            case "drop":
                text = text[:at] + text[at + draw(st.integers(1, 20)) :]
            case "repeat":
                text = text[:at] + text[at : at + draw(st.integers(1, 60))] * 2 + text[at:]
            case _:
                end = at + draw(st.sampled_from([0, 1, 5]))
                text = text[:at] + draw(st.sampled_from(WORDS)).encode() + text[end:]
    return text
