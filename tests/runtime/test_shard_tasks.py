"""The tasks of stages that run in shards write what one task writes."""

from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.records import StageReport, read_jsonl
from bt_core.steps.folders import TracesFolder
from bt_runtime.reports import read_reports
from bt_runtime.shard_tasks import merge_test, merge_train, run_one
from bt_runtime.strategy_tasks import run_bootstrap, run_evaluate
from tests.runtime.steps import ROWS, Tasks, files

SHARDS = 2


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Tasks:
    """A run whose last program, `2.w`, is worse than the one before it."""
    tasks = Tasks(tmp_path_factory.mktemp("shards"), tiny_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tasks.prepare()
        tasks.step("p", 0.75, "1.p")
        tasks.step("w", 0.25, "2.w", "1.p")
    return tasks


def shards(tasks: Tasks, program: str, rows: str, bootstrapping: bool) -> tuple[list[str], list[str]]:
    """Run every shard, the last one first; their traces and their reports."""
    paths, reports = [], []
    for shard in reversed(range(SHARDS)):
        name = f"{program}.{rows}.{shard}"
        inputs = *map(tasks.path, (program, rows)), "stage", (shard, SHARDS), bootstrapping
        reports.append(run_one(*inputs, tasks.path(name), tasks.metrics(name)))
        paths.append(tasks.path(name))
        assert tasks.shown[name] == {"shard/rows": ROWS["train" if bootstrapping else "test"] / SHARDS}
    return paths, reports


@pytest.fixture(autouse=True)
def _untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_bootstrap_in_shards_hands_over_what_one_task_does(tasks: Tasks) -> None:
    inputs = *map(tasks.path, ("1.p", "rows")), "2.bootstrap"
    whole = read_reports([run_bootstrap(*inputs, tasks.path("whole"), tasks.metrics("whole"))])
    parts = shards(tasks, "1.p", "rows", True)
    merged = read_reports([merge_train(parts, *inputs, tasks.path("merged"), tasks.metrics("merged"))])
    assert _told(merged) == _told(whole)
    one, several = (TracesFolder(tasks.folder / name) for name in ("whole", "merged"))
    rows = {f"rows/{name}": content for name, content in files(tasks.path("rows")).items()}
    for folder in (one, several):
        content = files(folder.path)
        assert content.keys() == {"traces.jsonl", "reports.jsonl", *rows}
        assert rows.items() <= content.items()
    assert _told(several.reports) == _told(one.reports)
    scores = [[(trace["example"], trace["score"]) for trace in read_jsonl(it.traces)] for it in (one, several)]
    assert scores[0] == scores[1]
    assert tasks.shown["merged"] == tasks.shown["whole"]


def test_an_evaluation_in_shards_ships_what_one_task_does(tasks: Tasks) -> None:
    inputs = *map(tasks.path, ("2.w", "test")), "evaluate"
    whole = read_reports([run_evaluate(*inputs, *_outputs(tasks, "whole"), tasks.metrics("evaluate"))])
    pairs = shards(tasks, "program", "test", False), shards(tasks, "2.w", "test", False)
    merged = read_reports([merge_test(*pairs, *inputs, *_outputs(tasks, "merged"), tasks.metrics("merged test"))])
    assert _told(merged) == _told(whole)
    assert files(tasks.path("merged.results/program")) == files(tasks.path("whole.results/program"))
    assert files(tasks.path("merged.results/program"))["program.json"] == files(tasks.path("1.p"))["program.json"]
    results = [files(tasks.path(f"{name}.results")) for name in ("whole", "merged")]
    assert results[0]["results.jsonl"] == results[1]["results.jsonl"]
    assert results[0].keys() == results[1].keys() == {"results.jsonl", "result.json", "program/program.json"}


def test_a_shard_of_the_evaluation_runs_the_best_program(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Path] = []

    def run_shard(folder: Path, *_: object) -> StageReport:
        ran.append(folder)
        return StageReport("stage", "shard", metrics={"shard/rows": 3.0})

    monkeypatch.setattr("bt_runtime.shard_tasks.run_shard", run_shard)
    for bootstrapping, rows in ((True, "rows"), (False, "test")):
        inputs = *map(tasks.path, ("2.w", rows)), "stage", (0, SHARDS), bootstrapping
        run_one(*inputs, tasks.path("never"), tasks.metrics("never"))
    assert ran == [tasks.folder / "2.w", tasks.folder / "2.w" / "best"]


def _outputs(tasks: Tasks, name: str) -> tuple[str, str]:
    return tasks.path(f"{name}.results"), tasks.path(f"{name}.html")


def _told(reports: list[StageReport]) -> list[StageReport]:
    """Reports without times, and without how much of each prompt was computed."""
    return [
        replace(report, usage=replace(report.usage, seconds=0.0, computed_prompt_tokens=0), started=0.0, ended=0.0)
        for report in reports
    ]
