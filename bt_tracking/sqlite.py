"""A tracking store in a SQLite file: opened early, so that a file which is none is told at once, and made fast."""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

SCHEME = "sqlite:///"
_IN_MEMORY = "file:bt-new-store?mode=memory&cache=shared"


def open_store(uri: str) -> None:
    """See whether the store's file can be opened, which MLflow itself would try for two minutes; make a missing one.

    Raises:
        OSError, sqlite3.Error: when it can be neither opened nor made.
    """
    path = Path(uri.removeprefix(SCHEME))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA schema_version")


def _make(path: Path) -> None:
    """Let MLflow make its tables in memory and write them at once.

    It does so by some seventy migrations; with a wait for the disk after each statement, those take four times as
    long. Of several processes that make one store the first one wins; where a file system has no links, MLflow makes
    the tables itself.
    """
    from mlflow import MlflowClient

    with closing(sqlite3.connect(_IN_MEMORY, uri=True)) as made, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        MlflowClient(tracking_uri=f"{SCHEME}{_IN_MEMORY}&uri=true")
        copy = Path(folder, path.name)
        with closing(sqlite3.connect(copy)) as database:
            made.backup(database)
        with suppress(OSError):
            os.link(copy, path)
