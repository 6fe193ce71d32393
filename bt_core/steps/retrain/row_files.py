"""Data that grows: a folder or an S3 prefix of files whose names sort by age, or whatever else a run reads."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bt_core.config import Config
from bt_core.data import read_rows, read_source, with_columns
from bt_core.errors import DataError
from bt_core.records import Row
from bt_core.storage import Store, is_remote
from bt_core.task import Task

#: Files of other kinds beside the data are passed over (`_SUCCESS`, a README).
SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet", ".json")
Chunk = tuple[str, list[Row]]
"""A file's name below its folder, and its rows."""


def read_chunks(task: Task, config: Config) -> list[Chunk]:
    """Every row there is, the oldest file first: files are as old as their names say (`2026-11-22.jsonl`).

    `config.data` names a folder, `s3://bucket/prefix`, or what `bt run` reads, which is then one file (a revision of
    a hub's data set, for one); left empty, the task's own rows are meant.

    Raises:
        DataError: when there is no file, one is malformed, or a row lacks a column; names file and row.
        WorldError: when S3 cannot be reached.
    """
    source = config.data or f"the data of task `{task.name}`"
    chunks = []
    for name, rows in _read(task, config.data):
        where = f"{source.rstrip('/')}/{name}" if name else source
        renamed = with_columns(rows, config.columns, where)
        assert not isinstance(renamed, Mapping)
        chunks.append((name, _checked(task, list(renamed), where)))
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
    elif task.data is None:
        raise DataError(f"The task `{task.name}` brings no data: give a folder or an S3 prefix with `--data`.")
    else:
        yield "", _joined(task.data())


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
        except DataError as error:  # of an S3 prefix it names the copy, which is gone by then
            raise DataError(str(error).replace(str(folder), address.rstrip("/"))) from None
    return chunks


def _joined(found: Sequence[Row] | Mapping[str, Sequence[Row]]) -> Sequence[Row]:
    """Rows of ready-made splits are dealt out anew, since the law of row_roles.py decides."""
    return [row for rows in found.values() for row in rows] if isinstance(found, Mapping) else found


def _checked(task: Task, rows: list[Row], source: str) -> list[Row]:
    for number, row in enumerate(rows, start=1):
        missing = [column for column in (*task.inputs, *task.labels) if row.get(column) is None]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column `{'`, `'.join(missing)}` (it has {has}): mend the row, or name"
                " the column in `columns`."
            )
    return rows
