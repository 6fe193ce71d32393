"""The tasks of a strategy: what each hands to the next one, and what is shipped."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.config import Config
from bt_core.engine.training.job import Curve, RemoteTraining, TrainingJob
from bt_core.errors import ProgramError
from bt_core.formats.run_result import RunResult
from bt_core.program import read_program
from bt_core.records import StageReport, read_jsonl
from bt_core.steps.folders import RowsFolder, SealedFolder, TracesFolder
from bt_core.steps.handover import REPORTS, best_program, stage_reports
from bt_core.steps.optimise.prompt_search import prompt_search
from bt_runtime.reports import RUN_ID, read_report, read_reports
from bt_runtime.strategy_tasks import run_bootstrap, run_chain, run_evaluate, run_step
from tests.runtime.steps import ROWS, Tasks, files, step_to

REAL = {"p": {"candidates": 1, "max_demos": 1}, "decoding": {"calibration": "none"}}


@pytest.fixture
def tasks(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """A run without MLflow whose data are prepared."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tasks = Tasks(tmp_path / "run", tiny_folder)
    tasks.prepare()
    return tasks


def evaluated(tasks: Tasks, program: str) -> tuple[StageReport, StageReport]:
    """The reports of the last task, which writes the artifacts `results` and `html`."""
    outputs = tasks.path("results"), tasks.path("html")
    text = run_evaluate(tasks.path(program), tasks.path("test"), "evaluate", *outputs, tasks.metrics("evaluate"))
    evaluation, result = read_reports([text])
    return evaluation, result


def test_the_sealed_rows_are_apart_from_those_to_learn_from(tasks: Tasks) -> None:
    rows, sealed = RowsFolder(tasks.folder / "rows"), SealedFolder(tasks.folder / "test")
    assert files(rows.path).keys() == {"train.jsonl", "val.jsonl", "config.json"}
    assert files(sealed.path).keys() == {"test.jsonl", "config.json", "vanilla/program.json"}
    assert rows.config == sealed.config
    sizes = {path.stem: len(read_jsonl(path)) for path in (rows.train, rows.val, sealed.test)}
    assert sizes == ROWS
    (prepared,) = stage_reports(tasks.folder / "program")
    assert (prepared.stage, prepared.params[RUN_ID]) == ("prepare", None)
    assert files(tasks.path("program")).keys() == {"program.json", REPORTS}
    assert (sealed.vanilla / "program.json").read_bytes() == files(tasks.path("program"))["program.json"]


def test_preparing_again_gives_the_same_files(tasks: Tasks) -> None:
    before = {name: files(tasks.path(name)) for name in ("program", "rows", "test")}
    tasks.prepare()
    for name, content in before.items():
        again = files(tasks.path(name))
        assert {path: data for path, data in again.items() if path != REPORTS} == {
            path: data for path, data in content.items() if path != REPORTS
        }


def test_a_program_brings_the_reports_of_all_stages_behind_it(tasks: Tasks) -> None:
    tasks.step("p", 0.75, "1.p")
    text = tasks.step("w", 0.25, "2.w", "1.p")
    reports = stage_reports(tasks.folder / "2.w")
    assert [report.kind for report in reports] == ["prepare", "bootstrap", "p", "bootstrap", "w"]
    assert reports[:3] == stage_reports(tasks.folder / "1.p")
    assert replace(reports[-1], note="") == read_report(text)
    assert reports[-1].note == ("Words.\n\nBest so far is the earlier program: 0.250 against 0.750 on validation.")


def test_a_worse_step_leaves_the_earlier_program_beside_its_own(tasks: Tasks) -> None:
    better = read_report(tasks.step("p", 0.75, "1.p"))
    worse = read_report(tasks.step("w", 0.25, "2.w", "1.p"))
    assert (better.metrics["select/best"], better.metrics["select/new"]) == (0.75, 1.0)
    assert (worse.metrics["select/best"], worse.metrics["select/new"]) == (0.75, 0.0)
    assert tasks.shown["2.w"] == worse.metrics
    assert files(tasks.path("1.p")).keys() == {"program.json", REPORTS}
    made = files(tasks.path("2.w"))
    assert made.keys() == {"program.json", REPORTS, "best/program.json"}
    assert made["best/program.json"] == files(tasks.path("1.p"))["program.json"]
    assert read_program(tasks.folder / "2.w").lineage[-1].stage == "2.w"


def test_a_step_that_is_done_again_leaves_nothing_of_the_first_attempt(tasks: Tasks) -> None:
    tasks.step("p", 0.75, "1.p")
    tasks.step("w", 0.25, "2.w", "1.p")
    inputs = *map(tasks.path, ("1.p", "2.w.traces")), "2.w", tasks.path("2.w")
    run_step(step_to("w", 0.8), *inputs, tasks.metrics("2.w"))
    assert best_program(tasks.folder / "2.w") == tasks.folder / "2.w"
    assert files(tasks.path("2.w")).keys() == {"program.json", REPORTS}


def test_what_trains_elsewhere_is_asked_for_with_the_configuration(tasks: Tasks) -> None:
    asked: list[Config] = []

    def elsewhere(job: TrainingJob, folder: Path, key: str) -> Curve:
        raise AssertionError("the step decides when to train")

    def optimise(*inputs: object, remote: RemoteTraining) -> StageReport:
        assert remote is elsewhere
        raise ProgramError("enough")

    def training(config: Config) -> RemoteTraining:
        asked.append(config)
        return elsewhere

    tasks.traces("traces")
    inputs = *map(tasks.path, ("program", "traces")), "1.w", tasks.path("1.w")
    with pytest.raises(ProgramError, match="enough"):
        run_step(optimise, *inputs, tasks.metrics("1.w"), training)
    assert asked == [RowsFolder(tasks.folder / "rows").config]


@pytest.mark.parametrize(("last", "best"), [(0.25, "1.p"), (0.75, "1.p"), (0.8, "2.w")], ids=["worse", "tie", "better"])
def test_the_best_program_is_shipped_alone(last: float, best: str, tasks: Tasks) -> None:
    tasks.step("p", 0.75, "1.p")
    tasks.step("w", last, "2.w", "1.p")
    evaluation, result = evaluated(tasks, "2.w")
    assert files(tasks.path("results/program")) == {"program.json": files(tasks.path(best))["program.json"]}
    assert (evaluation.stage, result.stage) == ("evaluate", "register")
    assert (evaluation.params[RUN_ID], result.params[RUN_ID]) == (None, None)
    assert tasks.shown["evaluate"] == evaluation.metrics

    assert files(tasks.path("results")).keys() == {"results.jsonl", "result.json", "program/program.json"}
    assert len(read_jsonl(tasks.folder / "results" / "results.jsonl")) == ROWS["test"]
    summary = RunResult.read(tasks.folder / "results" / "result.json")
    assert (summary.strategy, summary.shipped, summary.mlflow) == ("p -> w", best, {})
    assert [(step.stage, step.validation_before, step.validation) for step in summary.steps] == [
        ("1.p", 0.5, 0.75),
        ("2.w", 0.75, last),
    ]
    assert [(step.traces_kept, step.traces_total) for step in summary.steps] == [(2, 6), (2, 6)]
    assert summary.test is not None
    assert summary.test.final == evaluation.metrics["test/final"]
    assert summary.program_sha256


def test_the_vanilla_program_is_shipped_where_no_step_was_better(tasks: Tasks) -> None:
    tasks.step("p", 0.5, "1.p")
    evaluation, _ = evaluated(tasks, "1.p")
    assert evaluation.metrics["test/difference"] == 0.0
    vanilla = files(SealedFolder(tasks.folder / "test").vanilla)
    assert files(tasks.path("results/program")) == files(tasks.folder / "1.p" / "best") == vanilla
    assert RunResult.read(tasks.folder / "results" / "result.json").shipped == "vanilla"


@pytest.mark.parametrize("select", ["best", "last"])
def test_one_task_for_all_steps_hands_over_what_the_last_of_several_does(
    select: str, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tasks = Tasks(tmp_path / "run", tiny_folder, REAL | {"select": select})
    tasks.prepare()
    program = "program"
    for stage in ("1", "2"):
        traces, optimised = f"{stage}.bootstrap", f"{stage}.p"
        run_bootstrap(*map(tasks.path, (program, "rows")), traces, tasks.path(traces), tasks.metrics(traces))
        inputs = *map(tasks.path, (program, traces)), optimised, tasks.path(optimised)
        run_step(prompt_search, *inputs, tasks.metrics(optimised))
        program = optimised
    places = *map(tasks.path, ("program", "rows")), "p -> p", *map(tasks.path, ("fused", "stages"))
    reports = read_reports([run_chain(*places, tasks.metrics("fused"), lambda config: None)])

    assert [report.stage for report in reports] == ["1.bootstrap", "1.p", "2.bootstrap", "2.p"]
    apart, fused = (tasks.folder / name for name in ("2.p", "fused"))
    assert {**files(fused), REPORTS: b""} == {**files(apart), REPORTS: b""}
    assert list(map(_timeless, stage_reports(fused))) == list(map(_timeless, stage_reports(apart)))
    if select == "last":
        assert best_program(fused) == fused
    traces = TracesFolder(tasks.folder / "1.bootstrap")
    assert traces.traces.read_bytes() == (tasks.folder / "stages" / "1.bootstrap").read_bytes()
    assert [report.stage for report in traces.reports] == ["1.bootstrap"]
    shown = json.loads(Path(tasks.metrics("fused").path).read_text())
    assert shown == {f"{report.stage}/{name}": value for report in reports for name, value in report.metrics.items()}


def _timeless(report: StageReport) -> StageReport:
    return replace(report, usage=replace(report.usage, seconds=0.0), started=0.0, ended=0.0)
