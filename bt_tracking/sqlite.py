"""A tracking store in a SQLite file: checked early, so that a broken file is refused at once, and created fast."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bt_tracking.settings import SQLITE, store_path

_IN_MEMORY = "file:bt-new-store?mode=memory&cache=shared"


def open_store(uri: str) -> None:
    """Check that the store's file can be opened, which MLflow would try for two minutes. A missing file is created.

    Raises:
        OSError, sqlite3.Error: when the file can be neither opened nor created.
    """
    path = store_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA schema_version")


def _create(path: Path) -> None:
    """Let MLflow create its tables in memory, then write them to the file at once.

    MLflow creates them by some seventy migrations, which take four times as long on disk, with a wait after each
    statement. If several processes create the same store, the first one wins. On a file system without links, MLflow
    creates the tables in the file itself.
    """
    from mlflow import MlflowClient

    with closing(sqlite3.connect(_IN_MEMORY, uri=True)) as memory, TemporaryDirectory(dir=path.parent) as scratch:
        MlflowClient(tracking_uri=f"{SQLITE}{_IN_MEMORY}&uri=true")
        copy = Path(scratch, path.name)
        with closing(sqlite3.connect(copy)) as database:
            memory.backup(database)
        with suppress(OSError):
            os.link(copy, path)
