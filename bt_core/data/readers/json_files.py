"""JSON and JSONL files of rows: values have the types that JSON gives them, and dates stay text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bt_core.data.readers.text_files import read_text
from bt_core.errors import DataError
from bt_core.json_text import BrokenJson, parse_json
from bt_core.records import Row, rows_of_lines


def read_lines(path: Path) -> list[Row]:
    """The rows of a JSONL file, which holds one object a line; blank lines are skipped.

    Raises:
        DataError: when the file is no text, or a line is no JSON object; names the line.
    """
    return _rows_of_lines(path, read_text(path))


def read_json(path: Path) -> list[Row]:
    """The rows of a JSON file: a list of objects, or one object after the other, as in JSONL.

    Raises:
        DataError: when the file is neither; names the line or the place in the list.
    """
    text = read_text(path)
    try:
        value = parse_json(text)
    except BrokenJson as error:
        if "\n" in text.strip() and error.reason.startswith("Extra data"):
            return _rows_of_lines(path, text)
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise DataError(f"{where}: {_reason(error)}; correct the file.") from None
    return _rows(value if isinstance(value, list) else [value], path)


def _rows_of_lines(path: Path, text: str) -> list[Row]:
    lines = enumerate(text.split("\n"), start=1)  # not splitlines: JSON may hold U+2028
    return rows_of_lines(path, [(number, line) for number, line in lines if line.strip()])


def _rows(items: Sequence[Any], path: Path) -> list[Row]:
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise DataError(
                f"{path}, item {number}: expected a JSON object, found {type(item).__name__}; correct the file."
            )
    return list(items)


def _reason(error: BrokenJson) -> str:
    return f"broken JSON ({error.reason}{f' at column {error.column}' if error.column else ''})"
