"""Who is champion: promotions that race, that are cut off and done again, and rollbacks, on a real MLflow server."""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import ConfigError, TrackingError
from bt_core.program import Program, write_program
from bt_core.steps.retrain.row_roles import RunRecord
from bt_runtime.reports import RUN_ID
from bt_runtime.retraining import begin, end
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining import champion, ledger, outcome
from bt_tracking.retraining.champion import EXPERIMENT, SUPERSEDED, Champion
from tests.retrain.proxy import failing_after
from tests.retrain.runs import aliases, decided


@pytest.fixture
def program_folder(tmp_path: Path) -> Path:
    write_program(Program("any", "tiny", "1", {}), tmp_path / "program")
    return tmp_path / "program"


@pytest.fixture
def task(environment: str) -> str:
    """A task of this test's own, since the registry is shared by a whole server."""
    return f"package.{environment[:8]}:task"


def test_of_two_promotions_at_once_one_wins(
    remote: RetryingClient, task: str, program_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decided(task, program_folder, "first", monkeypatch, "first")
    assert first.settle()["outcome"] == "promoted"
    rivals = [decided(task, program_folder, run, monkeypatch) for run in ("one", "two", "three")]
    versions = [champion.propose(task, str(rival.made.params[RUN_ID]), {}) for rival in rivals]
    expected = Champion.load(rivals[0].incumbent)
    start, won = threading.Barrier(len(versions)), {}

    def contend(version: int) -> None:
        start.wait()
        won[version] = champion.promote(task, version, expected)

    threads = [threading.Thread(target=contend, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not {name for name in os.environ if name.startswith("MLFLOW_HTTP_REQUEST")}, "limits of a thread were left"
    (winner,) = [version for version, has_won in won.items() if has_won]
    assert aliases(remote, task)["champion"] == winner
    assert aliases(remote, task)["previous"] == 1
    assert champion.promote(task, winner, expected), "the winner's retry"
    assert not any(champion.promote(task, version, expected) for version in versions if version != winner)
    assert aliases(remote, task)["champion"] == winner


def test_a_winner_that_comes_late_leaves_the_champion_alone(
    remote: RetryingClient, task: str, program_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = (decided(task, program_folder, run, monkeypatch, "first") for run in ("early", "late"))
    assert early.settle()["outcome"] == "promoted"
    found = late.settle()
    assert found["outcome"] == SUPERSEDED
    assert "Meanwhile the champion has changed" in found["reason"]
    assert aliases(remote, task) == {"champion": 1, "challenger": 2}
    assert remote.get_model_version(registry_name(task), "2").tags["outcome"] == SUPERSEDED


def test_rollbacks_walk_back_through_the_champions(
    remote: RetryingClient, task: str, program_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="has no champion in MLflow"):
        champion.roll_back(task)
    for run in ("one", "two", "three"):
        assert decided(task, program_folder, run, monkeypatch).settle()["outcome"] == "promoted"
    assert aliases(remote, task) == {"champion": 3, "challenger": 3, "previous": 2}
    assert champion.roll_back(task) == (3, 2)
    assert aliases(remote, task) == {"champion": 2, "challenger": 3, "previous": 1}
    assert champion.roll_back(task) == (2, 1)
    with pytest.raises(ConfigError, match="there is nothing to go back to"):
        champion.roll_back(task)
    # A run that began before the rollback does not undo it, and one that begins after it may win.
    assert decided(task, program_folder, "four", monkeypatch).settle()["outcome"] == "promoted"
    assert aliases(remote, task) == {"champion": 4, "challenger": 4, "previous": 1}


def test_whatever_cuts_a_promotion_off_it_can_be_done_again(
    remote: RetryingClient, task: str, program_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow goes away after any number of requests; the retried task ends as an undisturbed one does."""
    url = remote.settings.uri
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0.01")
    requests, finished = 0, False
    while not finished:
        own = f"{task}{requests}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        run = decided(own, program_folder, f"cut-{requests}-{task[8:16]}", monkeypatch)
        with failing_after(requests, url) as (proxy, counter):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy)
            with suppress(TrackingError):
                run.settle()
                finished = not counter.is_spent
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        # Whoever looks in between finds no champion, or all of the move that was decided.
        found = champion.fetch_champion(own, program_folder.parent / f"found-{requests}")
        assert found is None or (found.version, found.term) == (1, 1)
        assert run.settle()["outcome"] == "promoted"
        assert aliases(remote, own) == {"champion": 1, "challenger": 1}
        assert len(remote.search_model_versions(f"name = '{registry_name(own)}'")) == 1
        moves = remote.get_experiment_by_name(EXPERIMENT).experiment_id
        assert len(remote.search_runs([moves], filter_string=f"tags.model = '{registry_name(own)}'")) == 1
        roles = {f"cut-{requests}-{task[8:16]}": "test"}
        assert ledger.read_ledger(own) == [RunRecord(roles, concluded=True, is_own=True)]
        requests += 9
    assert requests > 20


def test_a_server_that_is_down_at_the_start_is_a_sentence(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0.01")
    places = {name: tmp_path / name for name in ("train", "val", "test")}
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 could not be reached"):
        begin({"task": task}, places, tmp_path / "program", tmp_path / "champion", tmp_path / "rows")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigError, match="Retraining needs MLflow"):
        begin({"task": task}, places, tmp_path / "program", tmp_path / "champion", tmp_path / "rows")
    assert not any(tmp_path.iterdir())


def test_a_failed_run_is_recorded_and_told(
    remote: RetryingClient, task: str, environment: str, monkeypatch: pytest.MonkeyPatch, webhook: Any
) -> None:
    monkeypatch.setenv("BT_WEBHOOK_URL", webhook.url)
    end(task, "FAILED", "Task promote failed.")
    (told,) = webhook.received
    assert (told["task"], told["state"], told["outcome"]) == (task, "FAILED", outcome.FAILED)
    assert told["reason"] == "Task promote failed."
    assert told["url"].startswith(remote.settings.uri)
    experiments = [experiment.experiment_id for experiment in remote.search_experiments()]
    (run,) = remote.search_runs(experiments, filter_string=f"tags.`bt.run_id` = '{environment}'")
    assert (run.info.status, run.data.tags["retrain"]) == ("FAILED", "failed")


def test_a_webhook_is_told_also_when_mlflow_is_down(task: str, monkeypatch: pytest.MonkeyPatch, webhook: Any) -> None:
    monkeypatch.setenv("BT_WEBHOOK_URL", webhook.url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0.01")
    with pytest.raises(TrackingError, match="the failure of the pipeline run"):
        end(task, "FAILED", "Task fresh-data failed.")
    assert [told["state"] for told in webhook.received] == ["FAILED"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/secret-path", "http://host:secret-path/"])
def test_a_webhook_that_does_not_answer_fails_nothing(
    address: str, store: RetryingClient, task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BT_WEBHOOK_URL", address)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert end(task, "SUCCEEDED", "").params["state"] == "SUCCEEDED"
    told = capsys.readouterr().err
    assert "The webhook in BT_WEBHOOK_URL was not told" in told
    assert "secret-path" not in told
