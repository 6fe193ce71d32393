"""A new store's file: made once, with what MLflow itself would make."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from bt_tracking.connection import RetryingClient
from bt_tracking.server import local_store
from bt_tracking.settings import TrackingSettings

MAKE_AN_EXPERIMENT = """
import sys
from bt_tracking.connection import RetryingClient
from bt_tracking.settings import TrackingSettings

print("ready", flush=True)
sys.stdin.readline()
RetryingClient(TrackingSettings(sys.argv[1])).create_experiment(sys.argv[2])
"""


def test_processes_that_make_a_store_at_once_share_it(tmp_path: Path) -> None:
    uri, names = local_store(tmp_path / "store"), ["a", "b", "c"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_AN_EXPERIMENT, uri, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n")

    assert [process.returncode for process in processes] == [0, 0, 0]
    found = {experiment.name for experiment in RetryingClient(TrackingSettings(uri)).search_experiments()}
    assert found == {*names, "Default"}
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"mlflow.db", "artifacts"}


def test_a_new_store_has_the_tables_that_mlflow_makes(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()  # a file that is there is MLflow's own to fill
    tables = []
    for name in ("empty.db", "new.db"):
        RetryingClient(TrackingSettings(f"sqlite:///{tmp_path / name}")).search_experiments()
        with closing(sqlite3.connect(tmp_path / name)) as database:
            columns = "SELECT m.type, m.name, c.name, c.type FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c"
            tables.append(sorted(map(str, database.execute(columns))))

    assert len(tables[0]) > 100
    assert tables[0] == tables[1]
