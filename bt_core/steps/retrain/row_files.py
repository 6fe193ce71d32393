"""Data that grows: a folder or an S3 prefix of files whose names sort by age, or any other data of a run."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bt_core.config import Config
from bt_core.data import SUFFIXES, check_json, fitted, own_address, own_rows, read_rows, read_source, with_columns
from bt_core.errors import DataError
from bt_core.lm.columns import column_types
from bt_core.records import Row
from bt_core.storage import Store, is_remote
from bt_core.task import Task

Chunk = tuple[str, list[Row]]
"""The path of a file in the folder, and its rows."""


def read_chunks(task: Task, config: Config) -> list[Chunk]:
    """All rows, the oldest file first. The age of a file is taken from its name (`2026-11-22.jsonl`).

    `config.data` names a folder, `s3://bucket/prefix`, or any data that `bt run` reads, which then counts as one file
    (such as a revision of a hub's data set). When it is empty, the task's own rows are read.

    Raises:
        DataError: when there is no file, a file is malformed, or a row lacks a column. The sentence names file and row.
        WorldError: when S3 cannot be reached.
    """
    data = config.data or own_address(task)
    source = data or f"the data of task `{task.name}`"
    types, chunks = column_types(task), []
    for name, rows in _read(task, data):
        where = f"{source.rstrip('/')}/{name}" if name else source
        renamed = with_columns(rows, config.columns, where)
        assert not isinstance(renamed, Mapping)
        chunks.append((name, _checked(task, fitted(task, renamed, types, where), where)))
    if not any(rows for _, rows in chunks):
        raise DataError(f"{source} holds no rows: check the address, or wait for the first data.")
    return chunks


def _read(task: Task, data: str) -> Iterator[tuple[str, Sequence[Row]]]:
    is_file = PurePosixPath(data).suffix in SUFFIXES
    if is_remote(data) and not is_file:
        yield from _read_prefix(data)
    elif data and Path(data).is_dir():
        yield from _read_folder(Path(data), data)
    elif data:
        yield "", _joined(read_source(data))
    else:
        yield "", _joined(own_rows(task))


def _read_prefix(address: str) -> list[Chunk]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "data")
        Store().download_folder(address, folder, [f"*{suffix}" for suffix in SUFFIXES])
        return _read_folder(folder, address)


def _read_folder(folder: Path, address: str) -> list[Chunk]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.suffix in SUFFIXES}
    if not paths:
        raise DataError(f"{address} holds no data file ({', '.join(SUFFIXES)}): check the address.")
    chunks = []
    for name, path in sorted(paths.items()):
        try:
            chunks.append((name, read_rows(path)))
        except DataError as error:  # for an S3 prefix, the sentence names the copy, which is deleted by then
            raise DataError(str(error).replace(str(folder), address.rstrip("/"))) from None
    return chunks


def _joined(source: Sequence[Row] | Mapping[str, Sequence[Row]]) -> Sequence[Row]:
    """All rows. Those of given splits are joined, since the rules of row_roles.py decide on their roles."""
    return [row for rows in source.values() for row in rows] if isinstance(source, Mapping) else source


def _checked(task: Task, rows: list[Row], source: str) -> list[Row]:
    needed = dict.fromkeys((*task.inputs, *task.labels, *([task.group] if task.group else [])))
    for number, row in enumerate(rows, start=1):
        missing = [column for column in needed if row.get(column) is None]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column `{'`, `'.join(missing)}` (it has {has}): correct the row, or name"
                " the column in `columns`."
            )
    check_json(rows, source)
    return rows
