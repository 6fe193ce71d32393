"""A file of rows, read by what its name ends in."""

from pathlib import Path

from bt_core.data.readers.json_files import read_json, read_lines
from bt_core.data.readers.library import read_parquet
from bt_core.data.readers.tables import read_table
from bt_core.errors import DataError
from bt_core.records import Row

_READERS = {
    ".jsonl": read_lines,
    ".ndjson": read_lines,
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_parquet,
    ".json": read_json,
}
#: What the names of data files end in.
SUFFIXES = tuple(_READERS)


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL, CSV, TSV, Parquet or JSON file.

    Raises:
        DataError: when the file is missing, of another kind, or malformed. The sentence names file and line.
    """
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    if not is_data_file(path):
        raise DataError(f"{path} is no data file known here: give .jsonl, .csv, .tsv, .parquet or .json.")
    return _READERS[path.suffix.lower()](path)


def is_data_file(path: Path) -> bool:
    return path.suffix.lower() in _READERS
