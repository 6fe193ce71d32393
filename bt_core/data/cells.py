"""Text that stands for a value: cells of CSV files and arguments of a command line have no types of their own."""

import json
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from bt_core.json_text import DEEPEST, BrokenJson, parse_json

#: How Python writes what JSON writes as true, false and null.
_PYTHON_WORDS = ("True", "False", "None")


#: Levels of a file of ours that may lie around a value of a row.
_AROUND = 10


class Cell(str):
    """A text from a place that has no types. It is a value of a field's type as soon as the field is known."""

    __slots__ = ()


def value_of_text(text: str, kind: Any) -> Any:
    """The JSON value that a text stands for in a field of this type.

    Text stays text where the type allows for it, as also dates and enumerations of texts do. Other values are read as
    pydantic reads them (`4`, `1e5`, `yes`) or as JSON (`["Oslo", "Rome"]`).

    Raises:
        ValueError: when the text is no value of the type; the message says so.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError):
        return str(text)  # a type of the user's own, of which nothing is known
    for read in (str, str.strip, parse_json):
        try:
            value = adapter.dump_python(adapter.validate_python(read(text)), mode="json")
        except (ValidationError, BrokenJson):
            continue
        if isinstance(value, str):
            return str(text)
        if is_json(value):
            return value
    name = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    raise ValueError(f"{str(text)[:40]!r}, which is no {name}")


def is_ambiguous(text: str) -> bool:
    """Whether a text also reads as a number, a truth value, null, a list or an object."""
    try:
        return text in _PYTHON_WORDS or not isinstance(parse_json(text), str)
    except BrokenJson:
        return False


def is_json(value: Any) -> bool:
    """Whether a split's file can hold the value, unlike dates, bytes, NaN, infinity and half a surrogate pair."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode("utf-8")
        if text.count("[") + text.count("{") > DEEPEST - _AROUND:
            parse_json("[" * _AROUND + text + "]" * _AROUND)
    except (TypeError, ValueError, RecursionError, BrokenJson):  # UnicodeEncodeError is a ValueError
        return False
    return True
