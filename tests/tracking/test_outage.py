"""An MLflow server that goes away while a pipeline runs: what was optimised is there in the end."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import bt_tracking
from bt_core.config import Config
from bt_core.errors import ConfigError, TrackingError
from bt_core.formats.run_result import RunResult
from bt_core.program import program_sha256
from bt_core.records import StageReport
from bt_pipelines.compile import compile_strategy
from bt_runner.events import Event, LocalRun, OnEvent, TaskOutput, TaskStarted
from bt_runner.run import run_locally
from bt_runtime.finish import finish
from bt_tracking.connection import RequestLimits, RetryingClient
from bt_tracking.settings import TrackingSettings
from tests.core import conftest as core
from tests.faults import proxy_to
from tests.retrain.proxy import failing_after
from tests.runtime.test_finish import RecordedMetrics
from tests.tracking.conftest import RestartableServer

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

ROOT = Path(__file__).parents[2]
SETTINGS = {"decoding": {"calibration": "none"}, "p": {"candidates": 1, "max_demos": 1}, "select": "last"}
LATER = ["1.bootstrap", "1.p", "evaluate", "register"]
Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]


def run(
    folder: Path, name: str, model: Path, uri: str, seconds: float, on_event: OnEvent = lambda event: None
) -> LocalRun:
    """`p` on the tests' own task, tracked at `uri`; a stage waits `seconds` for MLflow."""
    environment = {
        "MLFLOW_TRACKING_URI": uri,
        "BT_TRACKING_RETRY_SECONDS": str(seconds),
        "BT_STRATEGY": "p",
        "BT_RESPONSE_CACHE": str(folder / "cache"),
    }
    parameters = {"task": "tests.core.toy:task", "model": str(model), "config": json.dumps(SETTINGS)}
    return run_locally(
        compile_strategy(("p",), folder / "p.yaml"), folder / name, parameters, environment, None, on_event
    )


def result(done: LocalRun) -> dict[str, Any]:
    return RunResult.read(done.tasks["evaluate"].artifacts["results"] / "result.json").content()


def untracked(done: LocalRun) -> list[str]:
    """The stages that a warning calls untracked."""
    warnings = [*result(done)["warnings"], *done.tasks["evaluate"].reports[-1].warnings]
    said = " is not in MLflow, its task's log says why; the run goes on."
    return [warning.removesuffix(said) for warning in warnings if warning.endswith(said)]


def check_tracked(client: RetryingClient, family: Family, done: LocalRun) -> None:
    """MLflow has every stage once, the outcome, and the data."""
    (parent,), children = family(client)
    assert sorted(children) == sorted(["prepare", *LATER])
    assert {child.info.status for child in (parent, *children.values())} == {"FINISHED"}
    assert {stage: child.info.run_id for stage, child in children.items() if stage != "register"} == result(done)[
        "mlflow"
    ]
    assert parent.data.metrics["test/final"] == pytest.approx(result(done)["test"]["final"])
    contexts = {tag.value for entry in parent.inputs.dataset_inputs for tag in entry.tags}
    assert contexts == {"train", "val", "test"}
    assert len(parent.inputs.dataset_inputs) == 3


@pytest.mark.slow
def test_a_run_waits_for_a_server_that_is_killed_and_comes_back(
    remote: RetryingClient,
    server: RestartableServer,
    family: Family,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is gone before the first stage ends, and started again when that stage has asked for it in vain."""
    monkeypatch.chdir(ROOT)
    events: list[str] = []

    def disturb(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.label == "1.bootstrap":
            server.kill()
            events.append("killed")
        elif isinstance(event, TaskOutput) and "MLflow does not answer" in event.line and "restarted" not in events:
            server.restart()
            events.append("restarted")

    done = run(tmp_path, "root", tiny_folder, server.url, 240, disturb)
    assert events == ["killed", "restarted"]
    assert untracked(done) == []
    check_tracked(remote, family, done)


@pytest.mark.slow
def test_a_run_goes_on_without_a_server_that_is_gone_for_good(
    remote: RetryingClient,
    server: RestartableServer,
    family: Family,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The later stages warn; the same run again records everything, and computes nothing."""
    monkeypatch.chdir(ROOT)
    with failing_after(1_000_000, server.url) as (address, passing):

        def disturb(event: Event) -> None:
            if isinstance(event, TaskStarted) and event.label == "1.bootstrap":
                passing.stop()

        done = run(tmp_path, "first", tiny_folder, address, 0.2, disturb)
    found = result(done)
    assert list(found["mlflow"]) == ["prepare"]
    assert untracked(done) == LATER
    assert f"MLflow at {address} could not be reached for 0.2 s while recording " in done.log.read_text()
    shipped = done.tasks["evaluate"].artifacts["results"] / "program"
    assert found["program_sha256"] == program_sha256(shipped)

    monkeypatch.setenv("BT_RUN_ID", f"{os.environ['BT_RUN_ID']}-again")
    again = run(tmp_path, "again", tiny_folder, server.url, 60)
    assert result(again)["program_sha256"] == found["program_sha256"]
    (step,) = result(again)["steps"]
    assert step["cached_calls"] == step["lm_calls"] > 0
    assert len(result(again)["mlflow"]) == len(LATER)
    ids = [experiment.experiment_id for experiment in remote.search_experiments()]
    wanted = f"tags.`bt.run_id` = '{os.environ['BT_RUN_ID']}'"
    assert {run.info.status for run in remote.search_runs(ids, filter_string=wanted)} == {"FINISHED"}


def test_a_server_that_fails_twice_is_asked_again(
    remote: RetryingClient,
    server: RestartableServer,
    family: Family,
    report: StageReport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy_to(server.url) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.endpoint)
        proxy.faults = ["busy", "cut"]
        run_id = bt_tracking.record(report, {})
    assert proxy.faults == []
    assert family(remote)[1]["2.w"].info.run_id == run_id


@pytest.mark.parametrize("kind", ["prepare", "fresh", "promote"])
def test_a_stage_that_needs_mlflow_fails_without_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is spent, and where what comes next is in MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0.01")
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 could not be reached"):
        finish(StageReport(kind, kind), Config(task="iris"), RecordedMetrics(tmp_path / "metrics"))


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
def test_a_wait_that_would_not_end_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", text)
    with pytest.raises(ConfigError, match=f"^BT_TRACKING_RETRY_SECONDS is '{text}': set it to a number of seconds"):
        TrackingSettings.from_environment()


def test_threads_share_the_limits_of_their_requests_and_leave_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    retries, seconds = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.setenv(retries, "7")
    monkeypatch.delenv(seconds, raising=False)
    limits, first, second = RequestLimits(), ExitStack(), ExitStack()
    first.enter_context(limits.held(20))
    second.enter_context(limits.held(5))
    assert (os.environ[retries], os.environ[seconds]) == ("0", "5")
    first.close()  # the one that came first goes first, as threads may
    assert (os.environ[retries], os.environ[seconds]) == ("0", "5")
    first.enter_context(limits.held(0.01))
    assert os.environ[seconds] == "1"
    second.close()
    first.close()
    assert os.environ[retries] == "7"
    assert seconds not in os.environ
