"""How a retraining ended: as its gate or its promotion recorded it, and only without a record as its state says."""

import re
from typing import Any

import pytest

import bt_tracking
from bt_core.records import StageReport
from bt_runtime.retraining import end, stop_early
from bt_tracking.connection import RetryingClient
from tests.retrain import toy

PROMOTION = {"retrain": "promoted", "retrain.reason": "It is better."}
STOP = {"retrain": "stopped", "retrain.reason": "No row is new."}
UNKNOWN = r"ended before the retraining came to an outcome: .* \(Kubeflow's last state of the run is RUNNING\)"


@pytest.fixture
def task(environment: str) -> str:
    return f"package.{environment[:8]}:task"


@pytest.mark.parametrize("state", ["COMPLETE", "CACHED", "SUCCEEDED", "RUNNING", "FAILED", ""])
@pytest.mark.parametrize("record", [PROMOTION, STOP], ids=["promoted", "stopped"])
def test_a_recorded_outcome_counts_whatever_the_state_is(
    state: str,
    record: dict[str, str],
    store: RetryingClient,
    task: str,
    family: Any,
    monkeypatch: pytest.MonkeyPatch,
    webhook: Any,
) -> None:
    """Kubeflow's exit handler gets RUNNING after a gate, and COMPLETE, which `kfp.local` calls SUCCEEDED."""
    monkeypatch.setenv("BT_WEBHOOK_URL", webhook.url)
    bt_tracking.finish_parent({}, tags=record)
    for _ in range(2):
        end(task, state, "")
    assert len(webhook.received) == 2
    for told in webhook.received:
        assert (told["outcome"], told["reason"]) == (record["retrain"], record["retrain.reason"])
    ((parent,), _) = family(store)
    assert (parent.info.status, parent.data.tags["retrain"]) == ("FINISHED", record["retrain"])


@pytest.mark.parametrize(
    ("state", "outcome", "reason", "status"),
    [
        ("COMPLETE", "", "$", "FINISHED"),
        ("CACHED", "", "$", "FINISHED"),
        ("SUCCEEDED", "", "$", "FINISHED"),
        ("RUNNING", "failed", UNKNOWN, "FAILED"),
        ("FAILED", "failed", "A task failed before .* the log of that task", "FAILED"),
    ],
)
def test_without_a_recorded_outcome_the_state_decides(
    state: str,
    outcome: str,
    reason: str,
    status: str,
    store: RetryingClient,
    task: str,
    family: Any,
    monkeypatch: pytest.MonkeyPatch,
    webhook: Any,
) -> None:
    """A pod that was killed, an image that cannot be pulled and a driver that failed leave RUNNING and no record."""
    monkeypatch.setenv("BT_WEBHOOK_URL", webhook.url)
    bt_tracking.start_parent(toy.config("none"), "p", note="Made.")
    bt_tracking.record(StageReport("1.p", "p"), {})  # and there the run was killed
    for _ in range(2):
        end(task, state, "")
    assert len(webhook.received) == 2
    for told in webhook.received:
        assert told["outcome"] == outcome
        assert re.search(rf"^{reason}" if reason == "$" else reason, told["reason"])
    ((parent,), _) = family(store)
    assert (parent.info.status, parent.data.tags.get("retrain", "")) == (status, outcome)
    assert parent.data.tags["mlflow.note.content"].count("**Failed:**") == (status == "FAILED")


def test_a_run_that_is_tried_again_after_a_failure_has_its_new_outcome(store: RetryingClient, task: str) -> None:
    end(task, "RUNNING", "")
    bt_tracking.finish_parent({}, tags=PROMOTION)
    assert end(task, "COMPLETE", "").params["outcome"] == "promoted"


def test_the_record_is_found_where_kubeflow_nests_the_gate(
    store: RetryingClient, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubeflow's MLflow plugin makes a run for the exit handler too, in which the gate's own run lies."""
    experiment = store.create_experiment("plugin")
    root = store.create_run(experiment, run_name="pipeline").info.run_id

    def below(parent: str) -> str:
        return str(store.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id)

    monkeypatch.setenv("MLFLOW_RUN_ID", below(below(root)))
    stop_early("No row is new.")
    monkeypatch.setenv("MLFLOW_RUN_ID", below(root))
    assert end(task, "RUNNING", "").params["outcome"] == "stopped"
    assert store.get_run(root).data.tags["retrain"] == "stopped"
