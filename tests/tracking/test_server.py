"""Against a real MLflow server: structure, artifacts, races, outages."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

import bt_tracking
from bt_core.config import resolve_config
from bt_core.errors import TrackingError, WorldError
from bt_core.records import StageReport
from bt_tracking.connection import RetryingClient
from bt_tracking.server import HOST, LocalServer, free_port

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]

RECORD_A_STAGE = """
import sys, time
from pathlib import Path
import mlflow
import bt_tracking
from bt_core.records import StageReport

stage, started, ready, go = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
ready.touch()
while not go.exists():
    time.sleep(0.001)
bt_tracking.record(StageReport(stage=stage, kind="p", started=started, ended=started + 1), {})
"""


class Server(Protocol):
    url: str
    folder: Path

    def kill(self) -> None: ...
    def restart(self) -> None: ...


def test_a_pipeline_run_and_its_files(
    remote: RetryingClient, report: StageReport, family: Family, program_folder: Path, tmp_path: Path
) -> None:
    traces = tmp_path / "data"
    traces.write_bytes(b'{"example": "\xc5\x81\xc3\xb3d\xc5\xba"}\n')
    parent_id = bt_tracking.start_parent(resolve_config({"task": "continents"}), "w")
    run_id = bt_tracking.record(report, {"program": program_folder, "traces.jsonl": traces})
    bt_tracking.finish_parent({"test/final": 0.5})

    (parent,), children = family(remote)
    assert (parent.info.run_id, parent.info.status) == (parent_id, "FINISHED")
    assert children["2.w"].info.run_id == run_id
    assert children["2.w"].data.tags["mlflow.parentRunId"] == parent_id
    assert children["2.w"].info.artifact_uri.startswith("mlflow-artifacts:")
    fetched = Path(remote.download_artifacts(run_id, "", str(tmp_path / "fetched")))
    assert (fetched / "traces.jsonl").read_bytes() == traces.read_bytes()
    assert _content(fetched / "program") == _content(program_folder)


def test_tasks_that_race_share_one_parent(remote: RetryingClient, family: Family, tmp_path: Path) -> None:
    """Three processes start at once, each with another idea of the time."""
    go = tmp_path / "go"
    ready = [tmp_path / f"ready{number}" for number in range(3)]
    tasks = [
        subprocess.Popen([sys.executable, "-c", RECORD_A_STAGE, f"{number}.p", str(2e9 - number * 1000), mark, go])
        for number, mark in enumerate(ready)
    ]
    while not all(mark.exists() for mark in ready):
        assert all(task.poll() is None for task in tasks)
        time.sleep(0.05)
    go.touch()
    assert [task.wait() for task in tasks] == [0, 0, 0]
    (parent,), children = family(remote)
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert sorted(children) == ["0.p", "1.p", "2.p"]


def test_an_outage_loses_nothing(
    remote: RetryingClient, server: Server, report: StageReport, family: Family, program_folder: Path
) -> None:
    bt_tracking.start_parent(resolve_config({"task": "continents"}), "w")
    server.kill()
    comes_back = threading.Timer(1.0, server.restart)
    comes_back.start()
    try:
        run_id = bt_tracking.record(report, {"program": program_folder}, retry_seconds=120)
    finally:
        comes_back.join()
    (parent,), children = family(remote)
    assert (children["2.w"].info.run_id, children["2.w"].info.status) == (run_id, "FINISHED")
    assert children["2.w"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert remote.list_artifacts(run_id, "program/adapter")


def test_a_server_that_stays_away_is_one_sentence(
    report: StageReport, program_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@{HOST}:{free_port(preferred=0)}?token=hunter3")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "1")
    with pytest.raises(TrackingError) as caught:
        bt_tracking.record(report, {"program": program_folder})
    sentence = str(caught.value)
    assert sentence.startswith(f"MLflow at http://{HOST}:")
    assert " could not be reached for 1 s while recording stage 2.w (" in sentence
    assert "Connection refused" in sentence
    assert f"the step's result is safe in {program_folder}: start the server or correct MLFLOW_TRACKING_URI" in sentence
    assert "\n" not in sentence
    assert "hunter" not in sentence + "".join(capfd.readouterr())
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_server_that_never_answers_is_given_up(report: StageReport, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{silent.getsockname()[1]}")
        with pytest.raises(TrackingError, match=r"could not be reached for 0\.5 s .*timed out"):
            bt_tracking.record(report, {}, retry_seconds=0.5)


def test_what_a_server_refuses_is_not_tried_again(
    remote: RetryingClient, report: StageReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef")
    with pytest.raises(TrackingError, match=r"refused to record stage 2\.w \(.*not found\); .* on disk: correct that"):
        bt_tracking.record(report, {})


def test_a_store_that_cannot_be_opened_is_one_sentence(
    report: StageReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_text("no database, whatever its name says" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingError, match=r"refused to record stage 2\.w \(file is not a database\)"):
        bt_tracking.record(report, {})


def test_a_server_that_ends_at_once_says_so() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], start_new_session=True)
    with pytest.raises(WorldError, match="ended with status 3 before it answered"):
        LocalServer(process, f"http://{HOST}:{free_port(preferred=0)}").wait_until_ready()


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server((HOST, 0)) as taken:
        assert free_port(preferred=taken.getsockname()[1]) != taken.getsockname()[1]


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
