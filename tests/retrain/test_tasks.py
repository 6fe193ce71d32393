"""The tasks of a retraining: what each hands to the next one, with steps that are done at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import TrackingError
from bt_core.program import program_sha256
from bt_core.records import StageReport, read_jsonl, write_jsonl
from bt_core.steps.folders import RowsFolder, SealedFolder
from bt_core.steps.handover import REPORTS, stage_reports
from bt_core.steps.retrain.fresh import IN_SHADOW, REASON, ROLES
from bt_runtime.reports import RUN_ID, read_report, write_report
from bt_runtime.retrain_tasks import run_challenge, run_drift, run_fresh, run_gate, run_promote
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining.champion import Champion
from bt_tracking.retraining.ledger import read_ledger
from bt_tracking.serving import PROGRAM
from tests.retrain import toy
from tests.runtime.steps import Tasks, files

TASK = "tests.retrain.toy:task"
ARTIFACTS = ("program", "champion", "rows", "test")
Begin = Callable[..., Tasks]


@pytest.fixture
def begin(store: RetryingClient, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Runs the first task of a retraining, whose artifacts are in a folder of that name."""

    def run(name: str) -> Tasks:
        monkeypatch.setenv("BT_RUN_ID", name)
        monkeypatch.setenv("BT_STRATEGY", "p-w")
        tasks = Tasks(tmp_path / name, tiny_folder)
        _fresh(tasks, tmp_path / "data")
        return tasks

    write_jsonl(tmp_path / "data" / "1.jsonl", toy.batch("a", 60, learnt="red", sealed="red"))
    return run


def _fresh(tasks: Tasks, data: Path) -> StageReport:
    settings = {"task": TASK, "model": str(tasks.model), "data": str(data)}
    tasks.folder.mkdir(exist_ok=True)
    return read_report(run_fresh(settings, *map(tasks.path, ARTIFACTS), tasks.metrics("fresh")))


def _promoted(tasks: Tasks, program: str) -> dict[str, Any]:
    """Challenge the champion with the best program in an artifact, and settle; the outcome."""
    inputs = *map(tasks.path, ("champion", program, "test")), "challenge"
    compared = run_challenge(*inputs, tasks.path("results"), tasks.metrics("challenge"))
    places = *map(tasks.path, (program, "champion", "rows")), compared, *map(tasks.path, ("model", "outcome"))
    promotion = read_report(run_promote(*places, tasks.metrics("promote")))
    assert (promotion.kind, bool(promotion.params[RUN_ID])) == ("promote", True)
    return dict(json.loads((tasks.folder / "outcome").read_text()))


def test_a_first_run_has_no_champion_but_a_copy_of_its_program(begin: Begin) -> None:
    tasks = begin("first")
    rows, sealed = RowsFolder(tasks.folder / "rows"), SealedFolder(tasks.folder / "test")
    assert files(sealed.path).keys() == {"test.jsonl", "config.json"}
    assert files(rows.path).keys() == {
        "train.jsonl", "val.jsonl", "config.json", "new.jsonl", "earlier.jsonl", ROLES,
    }  # fmt: skip
    assert rows.config == sealed.config
    assert files(tasks.path("champion")) == {
        "champion.json": b"",
        "program.json": files(tasks.path("program"))["program.json"],
    }
    (report,) = stage_reports(tasks.folder / "program")
    assert (report.kind, report.params[REASON]) == ("fresh", "")
    drift = read_report(run_drift(*map(tasks.path, ("rows", "champion")), "drift", tasks.metrics("drift")))
    assert (drift.stage, drift.usage.calls) == ("drift", 0), "there is no champion to score"


def test_an_attempt_that_was_killed_leaves_nothing_behind(begin: Begin, tmp_path: Path) -> None:
    tasks = begin("first")
    before = {name: files(tasks.path(name)) for name in ARTIFACTS}
    for name in ("program", "rows", "champion"):
        (tasks.folder / name / "left over").touch()
    _fresh(tasks, tmp_path / "data")
    for name in ARTIFACTS:
        assert {path: data for path, data in files(tasks.path(name)).items() if path != REPORTS} == {
            path: data for path, data in before[name].items() if path != REPORTS
        }


def test_the_best_program_is_promoted_alone_and_is_the_next_champion(begin: Begin, tmp_path: Path) -> None:
    tasks = begin("first")
    tasks.step("p", 0.75, "1.p")
    tasks.step("w", 0.25, "2.w", "1.p")
    outcome = _promoted(tasks, "2.w")
    best = files(tasks.path("1.p"))["program.json"]
    assert (outcome["outcome"], outcome["version"]) == ("promoted", 1)
    assert outcome["program_sha256"] == program_sha256(tasks.folder / "1.p")
    assert files(tasks.folder / "model" / PROGRAM) == {"program.json": best}

    write_jsonl(tmp_path / "data" / "2.jsonl", toy.batch("b", 60, learnt="red", sealed="red"))
    again = begin("second")
    champion = files(again.path("champion"))
    found = Champion.load(champion.pop("champion.json").decode())
    assert found is not None
    assert found.version == 1
    assert champion == {"program.json": best}
    again.step("p", 0.1, "1.p")
    outcome = _promoted(again, "1.p")
    assert outcome["version"] == 2
    assert outcome["outcome"] in ("shadow", "dropped")
    assert 0.0 < outcome["scores"]["test/e_value"] < 100.0
    assert len(read_jsonl(again.folder / "results")) == len(read_jsonl(again.folder / "test" / "test.jsonl"))


def test_the_gate_lets_a_run_go_on_or_passes_the_reason_on(begin: Begin, store: RetryingClient) -> None:
    first = begin("first")
    gated = first.metrics("gate")
    assert run_gate(_text(first), REASON, gated) == run_gate(_text(first), IN_SHADOW, gated) == ""
    assert Path(gated.path).read_text() == "{}\n"
    first.step("p", 0.75, "1.p")
    _promoted(first, "1.p")
    second = begin("second")  # nothing is new
    text = _text(second)
    assert run_gate(text, REASON, second.metrics("gate")) == text
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    wanted = "tags.`bt.run_id` = 'second' and tags.stage = 'pipeline'"
    (run,) = store.search_runs(experiments, filter_string=wanted)
    assert run.data.tags["retrain"] == "stopped"
    assert store.get_registered_model(registry_name(TASK)).aliases["champion"] in ("1", 1)


def test_a_run_that_is_killed_after_scoring_leaves_its_rows_to_no_other(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit 6: else another run, with another seed, would have a second try on rows whose scores may have been seen."""
    first = begin("first")
    first.step("p", 0.75, "1.p")
    assert _promoted(first, "1.p")["outcome"] == "promoted"
    write_jsonl(tmp_path / "data" / "2.jsonl", toy.batch("b", 60, learnt="red", sealed="red"))
    killed = begin("killed")
    killed.step("p", 0.1, "1.p")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bt_core.steps.retrain.challenge.write_results", kill)
        with pytest.raises(KeyboardInterrupt):
            _promoted(killed, "1.p")
    follower = begin("follower")
    assert _sealed(follower)
    assert not _sealed(follower) & _sealed(killed)
    follower.step("p", 0.1, "1.p")
    found = _promoted(follower, "1.p")
    assert (found["outcome"], found["version"]) == ("shadow", 2)

    write_jsonl(tmp_path / "data" / "3.jsonl", toy.batch("c", 60, learnt="red", sealed="red"))
    again = begin("killed")
    assert _sealed(again) == _sealed(killed), "the same run goes on with its rows, whatever data came meanwhile"
    records = {record.is_marked: record.concluded for record in read_ledger(TASK) if record.is_own}
    assert records == {True: False}
    assert run_gate(_text(again), IN_SHADOW, again.metrics("gate")), "another challenger is in shadow by now"
    assert _promoted(again, "program")["version"] == 2


def _sealed(tasks: Tasks) -> set[str]:
    """The rows that a run compares on."""
    return {row["thing"] for row in read_jsonl(tasks.folder / "test" / "test.jsonl")}


def test_no_row_is_scored_where_it_cannot_be_marked(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = begin("first")
    tasks.step("p", 0.75, "1.p")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0.01")
    with pytest.raises(TrackingError, match=r"could not be reached .* while recording which rows are compared on"):
        _promoted(tasks, "1.p")
    assert not (tasks.folder / "results").exists()


def _text(tasks: Tasks) -> str:
    """What the first task returned: the report beside the program, as text."""
    return write_report(*stage_reports(tasks.folder / "program"))
