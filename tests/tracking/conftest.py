"""A real MLflow for every test: a SQLite store each, and one server a session."""

import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bt_core.program import Field, LineageStep, PredictorState, Program, write_program
from bt_core.records import StageReport, Usage
from bt_tracking.connection import RetryingClient
from bt_tracking.server import LocalServer, free_port, local_store, start_server
from bt_tracking.settings import TrackingSettings

VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_RUN_ID",
    "KFP_RUN_ID",
    "BT_RUN_ID",
    "BT_TRACKING_RETRY_SECONDS",
)


class RestartableServer:
    """One MLflow server on one port and store, which tests may kill and start again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port(preferred=0)
        self.running = self._start()

    def _start(self) -> LocalServer:
        return start_server(self.folder, self.port)

    @property
    def url(self) -> str:
        return self.running.url

    def kill(self) -> None:
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait()

    def restart(self) -> None:
        """Come back without waiting for it."""
        self.running = self._start()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableServer]:
    started = RestartableServer(tmp_path_factory.mktemp("server"))
    try:
        started.running.wait_until_ready()
        yield started
    finally:
        started.running.stop()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose tables are made; copying it is faster than making them."""
    folder = tmp_path_factory.mktemp("empty")
    RetryingClient(TrackingSettings(local_store(folder))).search_experiments()
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> str:
    """Only the variables that a test sets, and a pipeline run of its own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    run_id = uuid.uuid4().hex
    monkeypatch.setenv("BT_RUN_ID", run_id)
    return run_id


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> RetryingClient:
    """Record into a SQLite store; the client reads it."""
    folder = tmp_path / "store"
    shutil.copytree(empty_store, folder)
    return _use(local_store(folder), monkeypatch)


@pytest.fixture
def remote(server: RestartableServer, monkeypatch: pytest.MonkeyPatch) -> RetryingClient:
    """Record to the server; the client reads it."""
    return _use(server.url, monkeypatch)


def _use(uri: str, monkeypatch: pytest.MonkeyPatch) -> RetryingClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return RetryingClient(TrackingSettings(uri))


@pytest.fixture
def family(environment: str) -> Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]:
    """This pipeline run's parents and, by stage, its children."""

    def read(client: RetryingClient) -> tuple[list[Any], dict[str, Any]]:
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(ids, filter_string=f"tags.`bt.run_id` = '{environment}'")
        children = {run.data.tags["stage"]: run for run in runs if run.data.tags["stage"] != "pipeline"}
        parents = [run for run in runs if run.data.tags["stage"] == "pipeline"]
        assert len(runs) == len(parents) + len(children), "a stage was recorded twice"
        return parents, children

    return read


@pytest.fixture
def program() -> Program:
    answer = PredictorState(
        instructions="Name the continent.",
        inputs=(Field("city", "str"),),
        outputs=(Field("continent", "Literal['Africa', 'Asia']", "where it lies"),),
        demos=({"city": "Łódź | {{braces}}", "continent": "Asia"},),
    )
    lineage = (LineageStep("p", "1.p", 0, {}, "ab" * 32, 0.4, 0.5),)
    return Program("continents", "tiny", "rev1", {"answer": answer, "check": answer}, lineage=lineage)


@pytest.fixture
def program_folder(tmp_path: Path, program: Program) -> Path:
    """A program directory with an adapter of raw bytes."""
    folder = tmp_path / "program"
    write_program(program, folder)
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 1024)
    return folder


@pytest.fixture
def report() -> StageReport:
    return StageReport(
        stage="2.w",
        kind="w",
        params={"learning_rate": 2e-4, "rank": 16, "modules": ["q", "k"], "nested": {"deep": None, "on": True}},
        metrics={"val/score": 0.5, "val/score_before": 0.25},
        series={"train/loss": [(step, 1 / (step + 1)) for step in range(5)]},
        note="Trained on 31 rows.",
        warnings=("Traces cover one class.",),
        usage=Usage(calls=7, seconds=1.5),
        started=1_700_000_000.25,
        ended=1_700_000_060.5,
    )
