"""What the `datasets` library reads: data sets of the Hugging Face hub, and Parquet files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.data.split_names import by_split
from bt_core.errors import DataError, first_line
from bt_core.records import Row

#: Marks the id of a data set that the `datasets` library loads.
HUB = "hub:"


def read_hub(address: str) -> dict[str, list[Row]]:
    """The splits of a data set. Where there is no test split, `validation` becomes `test`.

    Raises:
        DataError: when the data set cannot be loaded.
    """
    from datasets import load_dataset_builder

    text, _, revision = address.removeprefix(HUB).partition("@")
    name, _, config = text.partition(":")
    try:
        builder = load_dataset_builder(name, config or None, revision=revision or None)
        _check_inside(builder, address)
        builder.download_and_prepare()
        splits = by_split(builder.as_dataset(), address)
        rows = {split: plain_rows(part) for split, part in splits.items()}
    except DataError:
        raise
    except Exception as error:  # datasets, the hub's client and the parsers have many errors
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise DataError(
            f"The data set `{address}` cannot be loaded ({reason}): check id and network, or give a file."
        ) from None
    if "val" in rows and "test" not in rows:
        rows["test"] = rows.pop("val")  # the labels of the real test split are not public then
    return rows


def _check_inside(builder: Any, address: str) -> None:
    """Check that a data set consists of files of its own: its README could name any file of this machine.

    Raises:
        DataError: when it names another one.
    """
    base = str(builder.base_path)
    inside = base.partition("@")[0] + "@" if "://" in base else f"{Path(base).resolve()}/"
    for path in (str(path) for paths in (builder.config.data_files or {}).values() for path in paths):
        own = path.rpartition("::")[2]  # the archive, where the file is in one
        whole = own if "://" in own else str(Path(own).resolve())
        if not whole.startswith(inside) or ".." in whole.split("/"):
            raise DataError(
                f"The data set `{address}` names the file {path}, which is none of its own: give that file, or another"
                " data set."
            )


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
