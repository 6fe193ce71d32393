"""Rows: reading them, checking them, and splitting them so that no example stands in two splits."""

import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bt_core.config import Rows
from bt_core.errors import DataError
from bt_core.records import Row, canonical_json, read_jsonl
from bt_core.storage import is_remote, local_copy
from bt_core.task import Task

SPLITS = ("train", "val", "test")
Splits = dict[str, list[Row]]


def load_splits(task: Task, data: str, rows: Rows, seed: int) -> Splits:
    """The task's train, val and test rows.

    Args:
        task: its `data` gives the rows unless `data` names a file.
        data: a JSONL, CSV or Parquet file, also as `s3://bucket/key`; a folder with train, val and test files;
            or empty.
        rows: how many examples each split gets.
        seed: of the shuffle; the same rows and seed give the same splits.

    Raises:
        DataError: when rows are missing, malformed, duplicated across splits, or too few.
        WorldError: when S3 cannot be reached.
    """
    source = data or f"The data of task `{task.name}`"
    found = _read(task, data)
    if isinstance(found, Mapping):
        missing = [name for name in SPLITS if name not in found]
        if missing:
            raise DataError(f"{source} has no split {', '.join(missing)}: give train, val and test, or plain rows.")
        splits = {name: _checked(task, list(found[name]), f"{source}, split {name}") for name in SPLITS}
        sizes = rows.model_dump()
        for name in SPLITS:
            _enough(len(splits[name]), sizes[name], f"{source}, split {name}")
        splits = {name: _shuffled(splits[name], seed, name)[: sizes[name]] for name in SPLITS}
    else:
        splits = _split(task, _checked(task, list(found), source), rows, seed, source)
    check_disjoint(task, splits)
    return splits


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL, CSV or Parquet file.

    Raises:
        DataError: when the file is missing, of another kind, or malformed; names file and line.
    """
    if path.suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path)
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    kinds = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
    if path.suffix not in kinds:
        raise DataError(f"{path} is no data file known here: give .jsonl, .csv, .parquet or .json.")
    from datasets import Dataset

    reader = getattr(Dataset, f"from_{kinds[path.suffix]}")
    try:
        return [dict(row) for row in reader(str(path), keep_in_memory=True)]
    except Exception as error:  # datasets wraps the parsers' many errors in its own
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be read as {kinds[path.suffix]} ({reason}): mend the file.") from None


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


def _read(task: Task, data: str) -> Sequence[Row] | Mapping[str, Sequence[Row]]:
    if is_remote(data):
        return _read_remote(data)
    if data:
        path = Path(data)
        if path.is_dir():
            return {name: read_rows(_split_file(path, name)) for name in SPLITS}
        return read_rows(path)
    if task.data is None:
        raise DataError(f"The task `{task.name}` brings no data: give a file with `--data`.")
    try:
        return task.data()
    except OSError as error:
        raise DataError(f"The data of task `{task.name}` cannot be read ({error}): check its loader.") from None


def _read_remote(address: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = local_copy(address, Path(folder))
        try:
            return read_rows(path)
        except DataError as error:  # names the copy, which is gone by then
            raise DataError(str(error).replace(str(path), address)) from None


def _split_file(folder: Path, name: str) -> Path:
    found = [
        path for path in sorted(folder.glob(f"{name}.*")) if path.suffix in (".jsonl", ".csv", ".parquet", ".json")
    ]
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
    return rows


def _enough(have: int, want: int, source: str) -> None:
    if have < want:
        raise DataError(f"{source} has {have} rows, but {want} were asked for: lower `rows` or bring more.")


def _split(task: Task, rows: list[Row], sizes: Rows, seed: int, source: str) -> Splits:
    unique = list({canonical_json({c: row[c] for c in task.inputs}): row for row in reversed(rows)}.values())[::-1]
    wanted = sizes.train + sizes.val + sizes.test
    _enough(len(unique), wanted, f"{source} (duplicates aside)")
    ordered = _interleaved(_shuffled(unique, seed, "split"), task.stratify)
    val_end = sizes.train + sizes.val
    parts = {"train": ordered[: sizes.train], "val": ordered[sizes.train : val_end], "test": ordered[val_end:wanted]}
    return {name: _shuffled(part, seed, name) for name, part in parts.items()}


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
