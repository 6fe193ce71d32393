"""The tasks of a retraining: what each hands to the next one, with steps that are done at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


def _text(tasks: Tasks) -> str:
    """What the first task returned: the report beside the program, as text."""
    return write_report(*stage_reports(tasks.folder / "program"))
