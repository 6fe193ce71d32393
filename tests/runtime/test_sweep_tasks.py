"""The tasks of a sweep: scores of each seed, the comparison, and the report with the winner's program."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_core.formats.rows import ScoredRow, read_results
from bt_core.formats.sweep import Sweep
from bt_core.formats.traces import read_traces
from bt_core.records import StageReport, read_jsonl
from bt_core.statistics import DEFAULT_MARGIN, VANILLA
from bt_core.steps.folders import RowsFolder
from bt_core.steps.sweep.folders import PROGRAM_URI, ComparedFolder, ScoredFolder
from bt_runtime.reports import RUN_ID, read_report, read_reports
from bt_runtime.sweep_tasks import run_compare, run_report, run_scores
from tests.runtime.steps import ROWS, Tasks, files
from tests.tracking import conftest as tracking

empty_store, store = tracking.empty_store, tracking.store
environment, family = tracking.environment, tracking.family

SEEDS = (7, 8)
#: Arm -> the name of its program's artifact. `w` is the best under seed 8, and on average.
ARMS = {"p": "p", "w": "w", "p -> w": "p.w"}
VALIDATION = {7: {"p": 0.75, "w": 0.7, "p -> w": 0.25}, 8: {"p": 0.5, "w": 0.8, "p -> w": 0.6}}


@dataclass(frozen=True)
class Compared:
    """A sweep whose seeds were scored and compared."""

    seeds: dict[int, Tasks]
    scores: dict[int, list[StageReport]]
    report: StageReport
    program: str
    folder: Path


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Compared:
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        seeds = {seed: _made(Tasks(folder / str(seed), tiny_folder), seed) for seed in SEEDS}
        scores = {seed: _scored(tasks) for seed, tasks in seeds.items()}
        scored = [tasks.path("scored") for tasks in seeds.values()]
        metrics = seeds[7].metrics("compare")
        rules = DEFAULT_MARGIN, (1, 2, 0.05), (0.0, "")
        text, program = run_compare(scored, list(ARMS), *rules, "bt sweep", str(folder / "compared"), metrics)
    return Compared(seeds, scores, read_report(text), program, folder)


def _made(tasks: Tasks, seed: int) -> Tasks:
    """The tree of one seed; the labels are those of single runs."""
    tasks.prepare(seed=seed, data_seed=SEEDS[0])
    after = VALIDATION[seed]
    tasks.step("p", after["p"], "1.p", out="p")
    tasks.step("w", after["w"], "1.w", out="w")
    tasks.step("w", after["p -> w"], "2.w", "p", "p.w")
    return tasks


def _scored(tasks: Tasks) -> list[StageReport]:
    """The scores of a seed, in the artifact `scored`; a program's address is its path."""
    programs = [(tasks.path(name), f"address of {tasks.path(name)}") for name in ("program", *ARMS.values())]
    outputs = "score", tasks.path("scored"), tasks.metrics("score")
    return read_reports([run_scores(programs, tasks.path("test"), SEEDS[0], *outputs)])


def test_the_vanilla_program_is_scored_under_one_seed_alone(sweep: Compared) -> None:
    arms = {seed: [report.params["arm"] for report in reports] for seed, reports in sweep.scores.items()}
    assert arms == {7: [VANILLA, *ARMS], 8: [*ARMS]}
    for seed, names in arms.items():
        scored = ScoredFolder(sweep.seeds[seed].folder / "scored")
        rows = [len(read_jsonl(scored.results(arm))) for arm in names]
        assert rows == [ROWS["test"]] * len(names)
        assert scored.config == RowsFolder(sweep.seeds[seed].folder / "rows").config


def test_scores_are_reported_with_seed_address_and_run(sweep: Compared) -> None:
    for seed, reports in sweep.scores.items():
        names = [name for name in ("program", *ARMS.values()) if seed == SEEDS[0] or name != "program"]
        addresses = [f"address of {sweep.seeds[seed].path(name)}" for name in names]
        assert [report.params[PROGRAM_URI] for report in reports] == addresses
        assert {report.params["seed"] for report in reports} == {seed}
        assert all(RUN_ID in report.params for report in reports)
        scores = {f"test/{report.params['arm']}": report.metrics["test/score"] for report in reports}
        assert sweep.seeds[seed].shown["score"] == scores


def test_an_arm_is_its_last_program_though_an_earlier_one_was_better(sweep: Compared) -> None:
    """Under seed 7 `p` lies as the best one beside the program of `p -> w`."""
    assert "best/program.json" in files(sweep.seeds[7].path("p.w"))
    report = next(report for report in sweep.scores[7] if report.params["arm"] == "p -> w")
    assert report.metrics["val/score"] == 0.25


def test_the_reports_of_a_seed_are_there_once_under_their_position(sweep: Compared) -> None:
    for seed in SEEDS:
        labels = [report.stage for report in ScoredFolder(sweep.seeds[seed].folder / "scored").reports]
        made = ["prepare", "bootstrap", "p", "w", "p.bootstrap", "p.w", "p.score", "w.score", "p.w.score"]
        assert sorted(labels) == sorted(f"s{seed}.{label}" for label in [*made, *(["score"] if seed == 7 else [])])


def test_the_winner_is_named_by_its_address(sweep: Compared) -> None:
    compared = ComparedFolder(sweep.folder / "compared")
    assert sweep.program == f"address of {sweep.seeds[8].path('w')}"
    winner = ScoredFolder(sweep.seeds[8].folder / "scored").results("w")
    vanilla = ScoredFolder(sweep.seeds[7].folder / "scored").results(VANILLA)
    assert compared.results.read_bytes() == winner.read_bytes()
    assert compared.vanilla.read_bytes() == vanilla.read_bytes()
    assert [trace.example for trace in read_traces(compared.traces)] == [
        row.example for row in read_results(winner, ScoredRow)
    ]
    assert all(call.predictor for trace in read_traces(compared.traces) for call in trace.calls)
    assert compared.config.seed == SEEDS[0]


def test_the_program_that_the_user_names_is_the_one_to_ship(sweep: Compared, tmp_path: Path) -> None:
    scored, metrics = [tasks.path("scored") for tasks in sweep.seeds.values()], sweep.seeds[7].metrics("named")
    rules = DEFAULT_MARGIN, (1, 2, 0.05), (0.0, "p -> w@7")
    _, program = run_compare(scored, list(ARMS), *rules, "bt sweep", str(tmp_path / "compared"), metrics)
    assert program == f"address of {sweep.seeds[7].path('p.w')}"


def test_the_report_ships_the_winner_alone(sweep: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tasks = sweep.seeds[8]
    outputs = [str(tmp_path / name) for name in ("sweep.json", "report.html", "report.md", "program")]
    text = run_report(str(sweep.folder / "compared"), tasks.path("w"), *outputs, tasks.metrics("report"))
    content = Sweep.read(tmp_path / "sweep.json")
    assert content.winner is not None
    assert (content.winner.arm, content.winner.seed) == ("w", 8)
    assert content.seeds == SEEDS
    assert {arm.name: arm.validation_by_seed for arm in content.arms} == {
        arm: {seed: VALIDATION[seed][arm] for seed in SEEDS} for arm in ARMS
    }
    assert {(node.seed, node.stage) for node in content.nodes} == {
        (seed, stage) for seed in SEEDS for stage in ARMS.values()
    }
    assert files(tmp_path / "program") == {"program.json": files(tasks.path("w"))["program.json"]}
    for page in ("report.html", "report.md"):
        assert content.verdict.label in (tmp_path / page).read_text().lower()
    assert tasks.shown["report"] == read_report(text).metrics


def test_the_winners_test_rows_are_traces_of_the_sweeps_run(
    sweep: Compared, tmp_path: Path, store: Any, family: Any, environment: str
) -> None:
    tasks = sweep.seeds[8]
    outputs = [str(tmp_path / name) for name in ("sweep.json", "report.html", "report.md", "program")]
    content = json.loads((sweep.folder / "compared" / "sweep.json").read_text())
    content["cost"] |= {"seconds": 10_000.0, "prompt_tokens": 11, "completion_tokens": 7}
    shutil.copytree(sweep.folder / "compared", tmp_path / "compared")
    (tmp_path / "compared" / "sweep.json").write_text(json.dumps(content))
    run_report(str(tmp_path / "compared"), tasks.path("w"), *outputs, tasks.metrics("report"))
    (parent,), _ = family(store)
    assert (parent.data.metrics["usage/prompt_tokens"], parent.data.metrics["usage/completion_tokens"]) == (11, 7)
    results = {row.example: row for row in read_results(sweep.folder / "compared" / "results.jsonl", ScoredRow)}
    found = store.search_traces(locations=[parent.info.experiment_id], run_id=parent.info.run_id, max_results=50)
    assert {trace.info.client_request_id for trace in found} == results.keys()
    for trace in found:
        row = results[trace.info.client_request_id]
        scores = {one.name: one.feedback.value for one in trace.info.assessments if one.feedback}
        assert scores["score"] == row.score
        assert scores["change"] in {"better", "worse", "same"}
        assert trace.data.spans[0].outputs == row.prediction
        assert [span.name for span in trace.data.spans[1:]] == ["shade", "paint"]
