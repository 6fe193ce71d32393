"""How MLflow shows runs that did not finish, and what a run's tasks know of an outage."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bt_tracking
from bt_core.config import Config
from bt_core.errors import TrackingError
from bt_core.records import StageReport
from bt_core.shared_files import claimed
from bt_runtime.finish import finish
from bt_tracking.connection import RetryingClient
from bt_tracking.outage import OUTAGE_FILE
from bt_tracking.settings import FOLDER_VARIABLE
from tests.runtime.test_finish import RecordedMetrics

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]
CONFIG = Config(task="iris")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a run, claimed as `bt run` does."""
    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(path))
    with claimed(path) as is_ours:
        assert is_ours
        yield path


@pytest.mark.parametrize(("status", "title"), [("KILLED", "Stopped"), ("FAILED", "Failed")])
def test_parent_and_running_stage_get_a_status(status: Any, title: str, store: RetryingClient, family: Family) -> None:
    bt_tracking.start_parent(CONFIG, "p", note="Running.")
    bt_tracking.record(StageReport("1.bootstrap", "bootstrap"), {})
    for _ in range(2):  # twice changes nothing
        bt_tracking.end_run(status, "It was the signal.", "1.p", started=1_700_000_000.0)
    (parent,), children = family(store)
    assert parent.info.status == children["1.p"].info.status == status
    assert children["1.bootstrap"].info.status == "FINISHED"
    assert parent.data.tags["mlflow.note.content"] == f"**{title}:** It was the signal.\n\nRunning."
    assert children["1.p"].info.start_time == 1_700_000_000_000

    bt_tracking.start_parent(CONFIG, "p")  # as a sweep goes on
    bt_tracking.record(StageReport("1.p", "p"), {})
    (parent,), children = family(store)
    assert parent.info.status == "RUNNING"
    assert children["1.p"].info.status == "FINISHED"
    assert children["1.p"].data.tags["kind"] == "p"


def test_the_end_of_a_run_that_mlflow_does_not_know_leaves_nothing(store: RetryingClient, family: Family) -> None:
    bt_tracking.end_run("FAILED", "It broke.", "1.p")
    assert family(store) == ([], {})


DIE = """
import os, signal, sys
from pathlib import Path
import bt_tracking
from bt_core.shared_files import claimed
from bt_core.config import Config

with claimed(Path(os.environ["BT_RUN_FOLDER"])):
    print(bt_tracking.start_parent(Config(task="iris"), "p"), flush=True)
    sys.stdin.read()
"""


def test_the_next_run_closes_what_a_dead_one_left_running(
    store: RetryingClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not what a living one records."""
    others = []
    for name in ("dead", "living"):
        (tmp_path / name).mkdir()
        environment = {**os.environ, FOLDER_VARIABLE: str(tmp_path / name), "BT_RUN_ID": name}
        pipe = subprocess.PIPE
        others.append(
            subprocess.Popen([sys.executable, "-c", DIE], env=environment, stdin=pipe, stdout=pipe, text=True)
        )
    dead, living = (process.stdout.readline().strip() for process in others if process.stdout)
    others[0].kill()
    others[0].wait()
    own = bt_tracking.start_parent(CONFIG, "p")
    statuses = [store.get_run(run).info.status for run in (dead, living, own)]
    others[1].communicate()
    assert statuses == ["KILLED", "RUNNING", "RUNNING"]
    assert "its process was killed" in store.get_run(dead).data.tags["mlflow.note.content"]


def test_after_one_long_wait_later_stages_wait_briefly(
    store: RetryingClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until MLflow answers: then a stage is recorded, and the next outage is waited for as long as the first one."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    seconds = []
    monkeypatch.setattr(
        RetryingClient, "__init__", _noting(RetryingClient.__init__, lambda settings: seconds.append(settings))
    )
    with socket.socket() as closed:  # bound, but not listening: a connection is refused at once
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "4")
        for stage in ("1.bootstrap", "1.p"):
            begun = time.monotonic()
            report = finish(StageReport(stage, stage[2:]), CONFIG, RecordedMetrics(tmp_path / "metrics"))
            assert report.params == {"mlflow_run_id": None}
            assert time.monotonic() - begun < 6
        assert (folder / OUTAGE_FILE).exists()
        with pytest.raises(TrackingError, match=r"could not be reached for 4 s"):  # nothing goes on without it
            finish(StageReport("promote", "promote"), CONFIG, RecordedMetrics(tmp_path / "metrics"))
    assert [settings.retry_seconds for settings in seconds] == [4, 3, 4]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    report = finish(StageReport("evaluate", "evaluate"), CONFIG, RecordedMetrics(tmp_path / "metrics"))
    assert report.params["mlflow_run_id"]
    assert not (folder / OUTAGE_FILE).exists()


def _noting(make: Callable[..., None], note: Callable[[Any], None]) -> Callable[..., None]:
    def noted(self: RetryingClient, settings: Any) -> None:
        note(settings)
        make(self, settings)

    return noted
