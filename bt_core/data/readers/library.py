"""Rows that the `datasets` library reads: Parquet files, and data sets with types of their own."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.errors import DataError, first_line
from bt_core.records import Row


def read_parquet(path: Path) -> list[Row]:
    """The rows of a Parquet file.

    Raises:
        DataError: when the file is malformed.
    """
    from datasets import Dataset

    try:
        # The library's own cache would keep a copy of every file, and would return it for a file that was rewritten
        # with its old time stamp.
        with tempfile.TemporaryDirectory(prefix="bt-rows-") as scratch:
            return plain_rows(Dataset.from_parquet(str(path), keep_in_memory=True, cache_dir=scratch))
    except Exception as error:  # datasets wraps the errors of several parsers
        reason = first_line(error.__cause__ or error)
        raise DataError(f"{path} cannot be read as parquet ({reason}): correct the file.") from None


def plain_rows(part: Any) -> list[Row]:
    """The rows of a `datasets.Dataset`. The classes of a label are stored as numbers; rows have their names."""
    return [{name: _named(part.features[name], value) for name, value in row.items()} for row in part]


def _named(feature: Any, value: Any) -> Any:
    """The value with the names of its classes, also inside lists and structures."""
    if value is None:
        return None
    if hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else None  # -1: no label
    if isinstance(feature, Mapping) and isinstance(value, Mapping):
        return {name: _named(feature[name], part) for name, part in value.items()}
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else None)
    if inner is not None and isinstance(value, list):
        return [_named(inner, part) for part in value]
    return value
