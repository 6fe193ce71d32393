"""The evaluation of a run: which rows count together, when two programs are one, and what its result repeats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import Config, resolve_config
from bt_core.formats.rows import ComparedRow, read_results
from bt_core.formats.run_result import RunResult
from bt_core.program import PredictorState, Program, write_program
from bt_core.records import StageReport, Trace, Usage, read_jsonl, row_id, write_jsonl, write_traces
from bt_core.statistics import paired_difference
from bt_core.steps.evaluate import compared
from bt_core.steps.register import summarise
from bt_core.steps.shards import merge_evaluation
from bt_core.task import Task
from tests.core import toy
from tests.core.conftest import Recorder
from tests.core.flow import Flow

ROWS = [{"thing": f"thing {n}", "colour": "red", "shelf": f"s{n // 5}"} for n in range(30)]
GROUPED = toy.make(group="shelf")
SAME = {"test/difference": 0.0, "test/difference_low": 0.0, "test/difference_high": 0.0, "test/is_same": 1.0}


@pytest.fixture
def config() -> Config:
    return resolve_config({"task": "tests.core.toy:task"})


def _report(
    folder: Path, config: Config, task: Task, before: Sequence[float], after: Sequence[float], is_same: bool = False
) -> StageReport:
    traces = [[Trace(f"e{n}", score) for n, score in enumerate(scores)] for scores in (before, after)]
    usages = {"vanilla": Usage(), "final": Usage()}
    parts = compared(task, ROWS, *traces, is_same, usages, config, folder / "results.jsonl")
    return StageReport("evaluate", "evaluate", **parts)


def _result(folder: Path, config: Config, report: StageReport) -> RunResult:
    state = PredictorState("Do it.", (), ())
    write_program(Program("toy", "m", "r", {"x": state}), folder / "program")
    summarise(folder / "program", [report], {}, config, folder / "result.json")
    return RunResult.read(folder / "result.json")


def test_different_programs_without_a_changed_row_do_not_differ_by_exactly_nothing(
    tmp_path: Path, config: Config
) -> None:
    report = _report(tmp_path, config, toy.task, [1.0] * 30, [1.0] * 30)
    assert report.metrics["test/difference"] == 0.0
    assert report.metrics["test/difference_low"] < -0.05
    assert report.metrics["test/difference_high"] > 0.05
    assert "the final program is not shown to differ from the vanilla one" in report.note


def test_rows_of_a_group_count_together(tmp_path: Path, config: Config) -> None:
    """All rows of five shelves of six are better: McNemar's p would be below 0.001."""
    before, after = [0.0] * 30, [1.0] * 25 + [0.0] * 5
    report = _report(tmp_path, config, GROUPED, before, after)
    assert (report.metrics["test/rows"], report.metrics["test/groups"]) == (30.0, 6.0)
    assert (report.metrics["test/p_value"], report.params["exact_test"]) == (2 / 2**5, "sign flip of groups")
    assert report.note.startswith("On 30 sealed test rows in 6 groups ")
    assert {row.group for row in read_results(tmp_path / "results.jsonl", ComparedRow)} == {f"s{n}" for n in range(6)}
    by_row = _report(tmp_path, config, toy.task, before, after).metrics
    assert by_row["test/difference_low"] > report.metrics["test/difference_low"]


@pytest.mark.parametrize(
    ("task", "after", "is_same"),
    [
        (toy.task, [1.0] * 30, False),
        (toy.task, [1.0] * 5 + [0.0] * 25, False),
        (GROUPED, [1.0] * 30, False),
        (toy.task, [0.5] * 30, False),
        (toy.task, [0.0] * 30, True),
    ],
    ids=["better", "five", "groups", "graded", "same"],
)
def test_the_result_has_every_figure_of_the_comparison_and_the_same_words(
    task: Task, after: list[float], is_same: bool, tmp_path: Path, config: Config
) -> None:
    report = _report(tmp_path, config, task, [0.0] * 30, after, is_same)
    result = _result(tmp_path, config, report)
    groups = [task.group_of(row) for row in ROWS]
    found = paired_difference([0.0] * 30, after, groups, is_same=is_same, seed=config.seed)
    assert result.test is not None
    written: Any = result.test.difference
    names = ("mean", "low", "high", "p_value", "method", "better", "worse", "groups", "is_same")
    assert {name: getattr(written, name) for name in names} == {name: getattr(found, name) for name in names}
    note = summarise(tmp_path / "program", [report], {}, config, tmp_path / "result.json").note
    assert f"**{report.note}**" in note


def test_the_same_program_is_run_once_and_nothing_is_compared(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:task", recorder)
    report = flow.evaluate("vanilla")
    assert report.metrics.items() >= SAME.items()
    assert report.metrics["test/vanilla"] == report.metrics["test/final"]
    assert report.usage.calls == len(recorder.requests) == 2 * len(read_jsonl(tmp_path / "test.jsonl"))
    costs = [report.metrics[f"cost/prompt_tokens_per_example_{name}"] for name in ("vanilla", "final")]
    assert costs[0] == costs[1] > 0
    assert report.note.startswith("There is nothing to compare: the final program is the same program as the vanilla")


def test_shards_of_the_same_program_compare_nothing(tmp_path: Path, config: Config) -> None:
    write_jsonl(tmp_path / "test.jsonl", ROWS)
    sides = []
    for name, score in (("vanilla", 1.0), ("final", 0.0)):
        write_traces(tmp_path / name, [Trace(row_id(row), score) for row in ROWS])
        sides.append(([tmp_path / name], [StageReport(name, "shard")]))
    outputs = tmp_path / "test.jsonl", config, "evaluate", tmp_path / "results.jsonl"
    metrics = merge_evaluation(*sides, True, *outputs).metrics
    assert metrics.items() >= SAME.items()
    assert metrics["test/vanilla"] == metrics["test/final"] == 1.0
    assert merge_evaluation(*sides, False, *outputs).metrics["test/is_same"] == 0.0
