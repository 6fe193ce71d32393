"""Rows: reading them, naming their columns, checking them, and splitting them so that no example is in two splits."""

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bt_core.config import Rows
from bt_core.errors import DataError, first_line
from bt_core.records import Row, canonical_json, read_jsonl
from bt_core.storage import is_remote, local_copy
from bt_core.task import Task

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
SPLITS = ("train", "val", "test")
#: What others call the split that chooses between candidates.
VAL_NAMES = ("validation", "valid", "dev")
#: Ends of data files' names, and how the `datasets` library calls those that it reads.
LINES = (".jsonl", ".ndjson")
KINDS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
#: Marks the id of a data set that the `datasets` library loads.
HUB = "hub:"
Splits = dict[str, list[Row]]
Source = Sequence[Row] | Mapping[str, Sequence[Row]]
"""Rows, or the rows of named splits."""


def load_splits(task: Task, data: str, rows: Rows, seed: int, columns: Mapping[str, str] = NO_COLUMNS) -> Splits:
    """The task's train, val and test rows.

    Args:
        task: its `data` gives the rows unless `data` names a file.
        data: as for `read_source`, or empty.
        rows: how many examples each split gets.
        seed: of the shuffle; the same rows and seed give the same splits.
        columns: the task's column -> the column of `data` that it is called there.

    Raises:
        DataError: when rows are missing, malformed, duplicated across splits, or too few.
        WorldError: when S3 cannot be reached.
    """
    source = data or f"The data of task `{task.name}`"
    found = with_columns(read_source(data), columns, data) if data else _own_rows(task)
    sizes = rows.model_dump()
    if isinstance(found, Mapping) and "val" not in found and {"train", "test"} <= found.keys():
        learnt = _checked(task, list(found["train"]), f"{source}, split train")
        given = {name: sizes[name] for name in ("train", "val")}
        found = {**found, **_divided(task, learnt, given, seed, f"{source}, split train, for train and val")}
    if isinstance(found, Mapping):
        missing = [name for name in SPLITS if name not in found]
        if missing:
            raise DataError(f"{source} has no split {', '.join(missing)}: give train, val and test, or plain rows.")
        splits = {name: _checked(task, list(found[name]), f"{source}, split {name}") for name in SPLITS}
        for name in SPLITS:
            _enough(len(splits[name]), sizes[name], f"{source}, split {name}")
        splits = {name: _shuffled(splits[name], seed, name)[: sizes[name]] for name in SPLITS}
    else:
        splits = _divided(task, _checked(task, list(found), source), sizes, seed, source)
    check_disjoint(task, splits)
    return splits


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL, CSV or Parquet file.

    Raises:
        DataError: when the file is missing, of another kind, or malformed; names file and line.
    """
    if path.suffix in LINES:
        return read_jsonl(path)
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    if path.suffix not in KINDS:
        raise DataError(f"{path} is no data file known here: give .jsonl, .csv, .parquet or .json.")
    from datasets import Dataset

    reader = getattr(Dataset, f"from_{KINDS[path.suffix]}")
    try:
        # The library's own cache would keep a copy of every file, and give it back for a file that was rewritten with
        # its old time stamp.
        with tempfile.TemporaryDirectory(prefix="bt-rows-") as scratch:
            return [dict(row) for row in reader(str(path), keep_in_memory=True, cache_dir=scratch)]
    except Exception as error:  # datasets wraps the parsers' many errors in its own
        reason = first_line(error.__cause__ or error)
        raise DataError(f"{path} cannot be read as {KINDS[path.suffix]} ({reason}): mend the file.") from None


def check_disjoint(task: Task, splits: Mapping[str, Sequence[Row]]) -> None:
    """Refuse splits that share an example: one with the same inputs, whatever its label."""
    seen: dict[str, tuple[str, int]] = {}
    for name, rows in splits.items():
        for number, row in enumerate(rows, start=1):
            key = canonical_json({column: row[column] for column in task.inputs})
            other, line = seen.setdefault(key, (name, number))
            if other != name:
                raise DataError(
                    f"The same example stands in {other} (row {line}) and in {name} (row {number}):"
                    f" {_shown(row, task)}; remove it from one of them."
                )


def read_source(address: str) -> Source:
    """Rows from wherever they lie.

    Args:
        address: a JSONL, CSV, Parquet or JSON file, also as `s3://bucket/key`; a folder, also as `s3://bucket/prefix/`,
            with `train` and `test` files, and a `val` file if val is not to be taken out of train; or `hub:ID`,
            `hub:ID:CONFIG`, each also with `@REVISION`, for a data set of the Hugging Face hub or any other folder
            that `datasets` loads.

    Returns:
        Rows, or rows by split. A hub's split that is called `validation` is `val`; where there is no `test` split,
        it is `test`, since the labels of the real one are not public then.

    Raises:
        DataError: when it is not to be had, or malformed.
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


def with_columns(found: Source, columns: Mapping[str, str], source: str) -> Source:
    """The rows with their columns called as the task calls them; columns that are not named stay as they are.

    Raises:
        DataError: when a row lacks a column that is named.
    """
    if not columns:
        return found
    if isinstance(found, Mapping):
        return {name: _renamed(rows, columns, f"{source}, split {name}") for name, rows in found.items()}
    return _renamed(found, columns, source)


def _renamed(rows: Sequence[Row], columns: Mapping[str, str], source: str) -> list[Row]:
    taken = set(columns.values())
    for number, row in enumerate(rows, start=1):
        missing = [f"`{name}` (for `{own}`)" for own, name in columns.items() if name not in row]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(f"{source}, row {number}: no column {', '.join(missing)} (it has {has}): mend `columns`.")
    return [
        {name: value for name, value in row.items() if name not in taken}
        | {own: row[name] for own, name in columns.items()}
        for row in rows
    ]


def _read_hub(address: str) -> dict[str, list[Row]]:
    from datasets import load_dataset

    text, _, revision = address.removeprefix(HUB).partition("@")
    name, _, config = text.partition(":")
    try:
        loaded = load_dataset(name, config or None, revision=revision or None)
        found = {split: [dict(row) for row in rows] for split, rows in loaded.items()}
    except Exception as error:  # datasets, the hub's client and the parsers each have many errors of their own
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise DataError(
            f"The data set `{address}` cannot be loaded ({reason}): check id and network, or give a file."
        ) from None
    other = next((split for split in VAL_NAMES if split in found), None)
    if other and "val" not in found:
        found["val" if "test" in found else "test"] = found.pop(other)
    return found


def _own_rows(task: Task) -> Source:
    if task.data is None:
        raise DataError(f"The task `{task.name}` brings no data: give a file with `--data`.")
    try:
        return task.data()
    except OSError as error:
        raise DataError(f"The data of task `{task.name}` cannot be read ({error}): check its loader.") from None


def _read_remote(address: str) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = local_copy(address, Path(folder), [f"{name}.*" for name in SPLITS])
        try:
            return read_source(str(path))
        except DataError as error:  # names the copy, which is gone by then
            raise DataError(str(error).replace(str(path), address.rstrip("/"))) from None


def _split_files(folder: Path, name: str) -> list[Path]:
    return [path for path in sorted(folder.glob(f"{name}.*")) if path.suffix in (*LINES, *KINDS)]


def _split_file(folder: Path, name: str) -> Path:
    found = _split_files(folder, name)
    if not found:
        raise DataError(f"The data folder {folder} has no {name}.jsonl (or .csv, .parquet): add it, or give one file.")
    return found[0]


def _checked(task: Task, rows: list[Row], source: str) -> list[Row]:
    wanted = [*task.inputs, *task.labels, *([task.stratify] if task.stratify else [])]
    for number, row in enumerate(rows, start=1):
        missing = [column for column in dict.fromkeys(wanted) if row.get(column) is None]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column `{'`, `'.join(missing)}` (it has {has}); task `{task.name}` needs"
                f" {', '.join(dict.fromkeys(wanted))}."
            )
        strange = [f"`{column}` holds {value!r:.40}" for column, value in row.items() if not _is_json(value)]
        if strange:
            raise DataError(f"{source}, row {number}: {', '.join(strange)}, which is no JSON: mend or drop the column.")
    return rows


def _is_json(value: Any) -> bool:
    """Whether a value can be written to a split's file: not so are dates, bytes, and numbers that are none."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _enough(have: int, want: int, source: str) -> None:
    if have < want:
        raise DataError(f"{source} has {have} rows, but {want} were asked for: lower `rows` or bring more.")


def _divided(task: Task, rows: list[Row], sizes: Mapping[str, int], seed: int, source: str) -> Splits:
    """Shares of the rows, an example in one of them at most."""
    unique = list({canonical_json({c: row[c] for c in task.inputs}): row for row in reversed(rows)}.values())[::-1]
    _enough(len(unique), sum(sizes.values()), f"{source} (duplicates aside)")
    ordered = iter(_interleaved(_shuffled(unique, seed, "split"), task.stratify))
    return {name: _shuffled(list(islice(ordered, size)), seed, name) for name, size in sizes.items()}


def _interleaved(rows: list[Row], column: str) -> list[Row]:
    """Rows dealt class by class, so that any stretch of them holds every class in its share."""
    if not column:
        return rows
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        classes[str(row[column])].append(row)
    placed = [
        ((position + 0.5) / len(members), name, row)
        for name, members in sorted(classes.items())
        for position, row in enumerate(members)
    ]
    return [row for _, _, row in sorted(placed, key=lambda item: (item[0], item[1]))]


def _shuffled(rows: Sequence[Row], seed: int, what: str) -> list[Row]:
    shuffled = list(rows)
    random.Random(f"{seed}:{what}").shuffle(shuffled)
    return shuffled


def _shown(row: Row, task: Task) -> str:
    return ", ".join(f"{column}={str(row[column])[:40]!r}" for column in task.inputs)
