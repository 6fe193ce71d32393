"""Rows: read them, rename their columns, check them, and split them (`splits`)."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bt_core.config import Rows
from bt_core.errors import DataError, first_line
from bt_core.json_text import DEEPEST, BrokenJson, bounded_bytes, parse_json
from bt_core.records import Row, read_jsonl
from bt_core.splits import check_disjoint, divide, require_rows, shuffled
from bt_core.storage import is_remote, local_copy
from bt_core.task import Task

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
SPLITS = ("train", "val", "test")
#: Other names of the split that chooses between candidates.
VAL_NAMES = ("validation", "valid", "dev")
#: Suffixes of data files that we read, and of those that the `datasets` library reads, with its names for them.
LINES = (".jsonl", ".ndjson")
KINDS = {".csv": "csv", ".parquet": "parquet"}
#: Marks the id of a data set that the `datasets` library loads.
HUB = "hub:"
#: Levels of a file of ours that may lie around a value of a row.
_AROUND = 10
Splits = dict[str, list[Row]]
Source = Sequence[Row] | Mapping[str, Sequence[Row]]
"""Rows, or rows by split."""


def load_splits(task: Task, data: str, rows: Rows, seed: int, columns: Mapping[str, str] = NO_COLUMNS) -> Splits:
    """The task's train, val and test rows.

    Args:
        task: the task, whose own `data` gives the rows where the argument `data` is empty.
        data: an address, as for `read_source`, or empty.
        rows: the number of examples in each split.
        seed: seed of the shuffle. The same rows and seed give the same splits.
        columns: the task's name of a column -> its name in `data`.

    Raises:
        DataError: when rows are missing, malformed, in two splits, or too few.
        WorldError: when S3 cannot be reached.
    """
    source = data or f"The data of task `{task.name}`"
    source_rows = with_columns(read_source(data), columns, data) if data else _own_rows(task)
    sizes = rows.model_dump()
    if isinstance(source_rows, Mapping) and "val" not in source_rows and {"train", "test"} <= source_rows.keys():
        learnable = _checked(task, list(source_rows["train"]), f"{source}, split train")
        parts = {name: sizes[name] for name in ("train", "val")}
        where = f"{source}, split train, for train and val"
        source_rows = {**source_rows, **divide(task, learnable, parts, seed, where)}
    if isinstance(source_rows, Mapping):
        missing = [name for name in SPLITS if name not in source_rows]
        if missing:
            raise DataError(f"{source} has no split {', '.join(missing)}: give train, val and test, or plain rows.")
        splits = {name: _checked(task, list(source_rows[name]), f"{source}, split {name}") for name in SPLITS}
        for name in SPLITS:
            require_rows(len(splits[name]), sizes[name], f"{source}, split {name}")
        splits = {name: shuffled(splits[name], seed, name)[: sizes[name]] for name in SPLITS}
    else:
        splits = divide(task, _checked(task, list(source_rows), source), sizes, seed, source)
    check_disjoint(task, splits)
    return splits


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL, CSV or Parquet file.

    Raises:
        DataError: when the file is missing, of another kind, or malformed. The sentence names file and line.
    """
    if path.suffix in LINES:
        return read_jsonl(path)
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    if path.suffix == ".json":
        return _read_json(path)
    if path.suffix not in KINDS:
        raise DataError(f"{path} is no data file known here: give .jsonl, .csv, .parquet or .json.")
    from datasets import Dataset

    reader = getattr(Dataset, f"from_{KINDS[path.suffix]}")
    try:
        # The library's own cache would keep a copy of every file, and would return it for a file that was rewritten
        # with its old time stamp.
        with tempfile.TemporaryDirectory(prefix="bt-rows-") as scratch:
            return [dict(row) for row in reader(str(path), keep_in_memory=True, cache_dir=scratch)]
    except Exception as error:  # datasets wraps the errors of several parsers
        reason = first_line(error.__cause__ or error)
        raise DataError(f"{path} cannot be read as {KINDS[path.suffix]} ({reason}): correct the file.") from None


def _read_json(path: Path) -> list[Row]:
    """The rows of a list of objects, or of one object after the other. (pandas' reader crashes on deep nesting.)"""
    try:
        value = parse_json(bounded_bytes(path))
    except BrokenJson as error:
        if error.reason.startswith("Extra data"):
            return read_jsonl(path)
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise DataError(f"{where}: broken JSON ({error.reason}); correct the file.") from None
    rows = value if isinstance(value, list) else [value]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise DataError(f"{path}, item {number}: expected a JSON object, found {kind}; correct the file.")
    return list(rows)


def read_source(address: str) -> Source:
    """Read rows from an address.

    Args:
        address: a JSONL, CSV, Parquet or JSON file, also as `s3://bucket/key`; a folder, also as `s3://bucket/prefix/`,
            with `train` and `test` files, and with a `val` file unless val is to be taken from train; or `hub:ID` or
            `hub:ID:CONFIG`, each also with `@REVISION`, for a data set of the Hugging Face hub or another folder that
            `datasets` loads.

    Returns:
        Rows, or rows by split. A hub's split `validation` becomes `val`. Where there is no `test` split, it becomes
        `test`, since the labels of the real test split are not public then.

    Raises:
        DataError: when the rows cannot be loaded or are malformed.
        WorldError: when S3 cannot be reached.
    """
    if address.startswith(HUB):
        return _read_hub(address)
    if is_remote(address):
        return _read_remote(address)
    path = Path(address)
    if not path.is_dir():
        return read_rows(path)
    names = [name for name in SPLITS if name != "val" or _split_files(path, name)]
    return {name: read_rows(_split_file(path, name)) for name in names}


def with_columns(rows: Source, columns: Mapping[str, str], source: str) -> Source:
    """The rows with their columns renamed to the task's names. Other columns keep their names.

    Raises:
        DataError: when a row lacks a column that `columns` names.
    """
    if not columns:
        return rows
    if isinstance(rows, Mapping):
        return {name: _renamed(part, columns, f"{source}, split {name}") for name, part in rows.items()}
    return _renamed(rows, columns, source)


def _renamed(rows: Sequence[Row], columns: Mapping[str, str], source: str) -> list[Row]:
    taken = set(columns.values())
    for number, row in enumerate(rows, start=1):
        missing = [f"`{name}` (for `{own}`)" for own, name in columns.items() if name not in row]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column {', '.join(missing)} (it has {has}): correct `columns`."
            )
    return [
        {name: value for name, value in row.items() if name not in taken}
        | {own: row[name] for own, name in columns.items()}
        for row in rows
    ]


def _read_hub(address: str) -> dict[str, list[Row]]:
    from datasets import load_dataset_builder

    text, _, revision = address.removeprefix(HUB).partition("@")
    name, _, config = text.partition(":")
    try:
        builder = load_dataset_builder(name, config or None, revision=revision or None)
        _check_inside(builder, address)
        builder.download_and_prepare()
        loaded = builder.as_dataset()
        splits = {split: [dict(row) for row in rows] for split, rows in loaded.items()}
    except DataError:
        raise
    except Exception as error:  # datasets, the hub's client and the parsers have many errors
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise DataError(
            f"The data set `{address}` cannot be loaded ({reason}): check id and network, or give a file."
        ) from None
    other = next((split for split in VAL_NAMES if split in splits), None)
    if other and "val" not in splits:
        splits["val" if "test" in splits else "test"] = splits.pop(other)
    return splits


def _own_rows(task: Task) -> Source:
    if task.data is None:
        raise DataError(f"The task `{task.name}` brings no data: give a file with `--data`.")
    try:
        return task.data()
    except OSError as error:
        raise DataError(f"The data of task `{task.name}` cannot be read ({error}): check its loader.") from None


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


def _read_remote(address: str) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = local_copy(address, Path(folder), [f"{name}.*" for name in SPLITS])
        try:
            return read_source(str(path))
        except DataError as error:  # the sentence names the copy, which is deleted by then
            raise DataError(str(error).replace(str(path), address.rstrip("/"))) from None


def _split_files(folder: Path, name: str) -> list[Path]:
    return [path for path in sorted(folder.glob(f"{name}.*")) if path.suffix in (*LINES, ".json", *KINDS)]


def _split_file(folder: Path, name: str) -> Path:
    files = _split_files(folder, name)
    if not files:
        raise DataError(f"The data folder {folder} has no {name}.jsonl (or .csv, .parquet): add it, or give one file.")
    return files[0]


def _checked(task: Task, rows: list[Row], source: str) -> list[Row]:
    needed = [*task.inputs, *task.labels, *filter(None, (task.stratify, task.group))]
    for number, row in enumerate(rows, start=1):
        missing = [column for column in dict.fromkeys(needed) if row.get(column) is None]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column `{'`, `'.join(missing)}` (it has {has}); task `{task.name}` needs"
                f" {', '.join(dict.fromkeys(needed))}."
            )
    check_json(rows, source)
    return rows


def check_json(rows: Sequence[Row], source: str) -> None:
    """Refuse rows that no file of ours can hold: with dates, bytes, NaN, infinities, or half a surrogate pair.

    Raises:
        DataError: names the row and its columns.
    """
    for number, row in enumerate(rows, start=1):
        foreign = [f"`{column}` holds {value!r:.40}" for column, value in row.items() if not _is_json(value)]
        if foreign:
            raise DataError(
                f"{source}, row {number}: {', '.join(foreign)}, which is no JSON: correct or drop the column."
            )


def _is_json(value: Any) -> bool:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        if text.count("[") + text.count("{") > DEEPEST - _AROUND:
            parse_json("[" * _AROUND + text + "]" * _AROUND)
    except (TypeError, ValueError, RecursionError, BrokenJson):
        return False
    return True
