"""CSV and TSV files (RFC 4180): every cell is text, an empty cell is null, and a line of another length is refused."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bt_core.data.cells import Cell
from bt_core.data.notes import note
from bt_core.data.readers.text_files import read_text
from bt_core.errors import DataError
from bt_core.records import Row
from bt_core.wording import counted

#: What may stand between the cells of a CSV file; of two that fit, the first.
DELIMITERS = (",", ";", "\t", "|")
Line = tuple[int, list[str]]
"""The number of a line, and its cells."""


class _Malformed(Exception):
    """What is wrong with a line, and its number."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV or TSV file, whose first line names the columns.

    The delimiter of a TSV file is a tab; that of a CSV file is found by its first line.

    Raises:
        DataError: when the file is no such text, or a line has more or fewer cells than the first; names the line.
    """
    text = read_text(path)
    is_tsv = path.suffix.lower() == ".tsv"
    longest = csv.field_size_limit(sys.maxsize)
    try:
        delimiter = "\t" if is_tsv else _delimiter(text)
        lines = _lines(text, delimiter)
        names = _column_names(path, *lines[0]) if lines else []
        _check_lengths(lines)
    except _Malformed as error:
        raise DataError(f"{path}, line {error.line}: {error}.") from None
    finally:
        csv.field_size_limit(longest)
    if delimiter != "," and not is_tsv:
        note(f"{path} is read with {_shown(delimiter)} between its cells.")
    return [
        {name: Cell(cell) if cell else None for name, cell in zip(names, cells, strict=True) if name}
        for _, cells in lines[1:]
    ]


def _delimiter(text: str) -> str:
    """The delimiter in the first line. Where it has several, the first that gives all lines one length.

    A file of one column has none in its first line: a comma then.
    """
    first = next(iter(io.StringIO(text, newline="")), "")
    found = [delimiter for delimiter in DELIMITERS if delimiter in first]
    fitting = [delimiter for delimiter in found if len(found) == 1 or _fits(text, delimiter)]
    return (*fitting, *found, DELIMITERS[0])[0]


def _fits(text: str, delimiter: str) -> bool:
    try:
        _check_lengths(_lines(text, delimiter))
    except _Malformed:
        return False
    return True


def _lines(text: str, delimiter: str) -> list[Line]:
    """The lines that are not blank. A line of CSV may go on over several of the file, a line of TSV may not.

    Without that limit, a quotation mark that only begins a text would swallow the rows up to the next one.
    """
    source = io.StringIO(text, newline="")  # lines end where RFC 4180 ends them, not at U+2028
    if delimiter != "\t":
        return _parsed(source, delimiter, 1)
    return [found for number, line in enumerate(source, start=1) for found in _parsed([line], delimiter, number)]


def _parsed(source: Iterable[str], delimiter: str, first: int) -> list[Line]:
    """The lines of the source, whose first line is number `first` of its file."""
    reader, lines, start = csv.reader(source, delimiter=delimiter, strict=True), [], first
    try:
        for cells in reader:
            if cells:
                lines.append((start, cells))
            start = first + reader.line_num
    except csv.Error as error:
        raise _Malformed(
            start,
            f"broken quotation marks ({error}): put a cell that begins with one between quotation marks, and double"
            " those in it",
        ) from None
    return lines


def _check_lengths(lines: Sequence[Line]) -> None:
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise _Malformed(
                number,
                f"{counted(len(cells), 'cell')}, but the first line has {len(lines[0][1])}: put a cell that has a"
                " delimiter in it between quotation marks, or add what is missing",
            )


def _column_names(path: Path, number: int, cells: Sequence[str]) -> list[str]:
    """The names of the columns. A column without a name, such as pandas writes for its index, is left out."""
    names = [cell.strip() for cell in cells]
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise _Malformed(number, f"two columns are called `{twice[0]}`: rename one")
    if "" in names:
        note(f"{path} has a column without a name, column {names.index('') + 1}: it is left out.")
    return names


def _shown(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"`{delimiter}`"
