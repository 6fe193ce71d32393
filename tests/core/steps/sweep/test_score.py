"""Scoring one program on the sealed rows: its results, and the report that travels to the comparison."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.formats.reports import load_report
from bt_core.formats.rows import ScoredRow, read_results
from bt_core.formats.traces import read_traces
from bt_core.program import Program
from bt_core.records import StageReport, dump_report, read_jsonl, row_id
from bt_core.steps.engines import open_engine
from bt_core.steps.folders import SealedFolder
from bt_core.steps.sweep import score as score_module
from bt_core.steps.sweep.folders import PROGRAM_URI, ScoredFolder
from bt_core.steps.sweep.report_sweep import changed_answers
from bt_core.steps.sweep.score import score, score_programs
from tests.core.flow import Flow

TASK = "tests.core.toy:task"


@pytest.fixture(scope="module")
def flow(tiny_folder: Path, tiny_engine: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("score")
    started = Flow.start(folder, tiny_folder, TASK, tiny_engine, p={"candidates": 1, "max_demos": 1}, seed=5)
    started.bootstrap()
    started.p()
    return started


def _scored(flow: Flow, program: str) -> StageReport:
    test, results = flow.folder / "test.jsonl", flow.folder / f"{program}.results"
    return score(flow.folder / program, test, flow.config, f"s5.{program}.score", results, flow.engine)


def test_the_results_are_those_of_the_test_rows(flow: Flow) -> None:
    report = _scored(flow, "vanilla")
    rows, results = read_jsonl(flow.folder / "test.jsonl"), read_jsonl(flow.folder / "vanilla.results")
    assert [result["row"] for result in results] == rows
    assert [result["example"] for result in results] == [row_id(row) for row in rows]
    assert [result["score"] for result in results] == list(report.scores)
    assert [float(r["prediction"]["colour"] == r["row"]["colour"]) for r in results] == list(report.scores)
    assert report.metrics["test/score"] == pytest.approx(sum(report.scores) / len(rows))
    assert report.metrics["test/rows"] == len(rows)


def test_it_agrees_with_the_evaluation_of_a_single_run(flow: Flow) -> None:
    evaluated = flow.evaluate("p").metrics
    assert _scored(flow, "p").metrics["test/score"] == evaluated["test/final"]
    assert _scored(flow, "vanilla").metrics["test/score"] == evaluated["test/vanilla"]
    for name, role in (("p", "final"), ("vanilla", "vanilla")):
        tokens = _scored(flow, name).metrics["cost/prompt_tokens_per_example"]
        assert tokens == evaluated[f"cost/prompt_tokens_per_example_{role}"]


def test_all_arms_on_one_engine_score_as_each_alone(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Engine] = []

    def counted(program: Program, config: Config) -> Engine:
        loaded.append(open_engine(program, config))
        return loaded[-1]

    monkeypatch.setattr(score_module, "open_engine", counted)
    sealed, scored = SealedFolder(flow.folder / "sealed"), ScoredFolder(flow.folder / "scored")
    sealed.path.mkdir()
    shutil.copyfile(flow.folder / "test.jsonl", sealed.test)
    sealed.write(flow.config, flow.folder / "vanilla")
    scored.path.mkdir()
    (scored.path / "left over").touch()
    arms = ("vanilla", "p")
    places = [(flow.folder / arm, f"address of {arm}") for arm in arms]
    finished = list(score_programs(places, sealed, "score", scored))

    assert len(loaded) == 1
    for arm, stage in zip(arms, finished, strict=True):
        assert flow.engine is not None
        flow.engine.forget()
        alone, results = _scored(flow, arm), flow.folder / f"{arm}.results"
        assert stage.report.params == alone.params | {PROGRAM_URI: f"address of {arm}"}
        assert (stage.report.stage, stage.report.kind, stage.report.scores) == ("score", "score", alone.scores)
        assert (stage.report.metrics, stage.report.note) == (alone.metrics, alone.note)
        assert replace(stage.report.usage, seconds=0.0) == replace(alone.usage, seconds=0.0)
        assert scored.results(arm).read_bytes() == results.read_bytes()
        assert (stage.artifacts, stage.data) == ({"results.jsonl": scored.results(arm)}, {"test": sealed.test})
    assert {path.name for path in scored.path.iterdir()} == {"vanilla.jsonl", "p.jsonl", "traces"}
    for arm in arms:
        told = [(trace.example, trace.score, trace.prediction) for trace in read_traces(scored.traces(arm))]
        rows = read_results(scored.results(arm), ScoredRow)
        assert told == [(row.example, row.score, row.prediction) for row in rows]


def test_the_report_says_which_arm_it_is_and_how_it_did_on_validation(flow: Flow) -> None:
    bare, searched = _scored(flow, "vanilla"), _scored(flow, "p")
    assert (bare.params["arm"], searched.params["arm"]) == ("vanilla", "p")
    assert "val/score" not in bare.metrics
    assert searched.metrics["val/score"] == flow.last.metrics["val/score"]
    assert (searched.params["seed"], searched.params["outcomes"]) == (5, [""])
    assert bare.params["examples"] == searched.params["examples"]


def test_other_rows_have_another_digest(flow: Flow) -> None:
    results = flow.folder / "other.results"
    other = score(flow.folder / "vanilla", flow.folder / "val.jsonl", flow.config, "s5.score", results, flow.engine)
    assert other.params["examples"] != _scored(flow, "vanilla").params["examples"]


def test_a_report_keeps_its_scores_when_it_travels() -> None:
    report = StageReport("s0.score", "score", scores=(1.0, 0.25, 0.0))
    assert load_report(dump_report(report)) == report
    assert load_report(dump_report(report, compact=True)).scores == report.scores


def test_losses_travel_thinned_and_other_series_do_not_travel() -> None:
    series = {"train/loss": [(step, 1.0 / (step + 1)) for step in range(100)], "search/score": [(0, 0.5)]}
    short = {"train/val_loss": [(1, 0.25), (2, 0.125)]}
    compact = load_report(dump_report(StageReport("s0.w", "w", series=series | short), compact=True)).series
    assert compact.keys() == {"train/loss", "train/val_loss"}
    assert compact["train/val_loss"] == short["train/val_loss"]
    steps = [step for step, _ in compact["train/loss"]]
    assert (len(steps), steps[0], steps[-1]) == (32, 0, 99)
    assert steps == sorted(set(steps))


def test_changed_rows_are_counted_and_shown_up_to_twenty() -> None:
    before, after = (
        [
            ScoredRow(
                example=str(n),
                row={"n": n},
                score=right(n),
                prediction={"a": answer},
                error=None,
                feedback=f"{answer}?",
            )
            for n in range(40)
        ]
        for answer, right in ((0, lambda n: float(n < 5)), (1, lambda n: float(n >= 3)))
    )
    changed = changed_answers(before, after)
    assert (changed.gained_count, changed.lost_count) == (35, 3)
    assert [change.row["n"] for change in changed.gained] == list(range(5, 25))
    assert changed.lost[0].content() == {
        "row": {"n": 0},
        "before": {"a": 0},
        "after": {"a": 1},
        "feedback_before": "0?",
        "feedback_after": "1?",
    }
