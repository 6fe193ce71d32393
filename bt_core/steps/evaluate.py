"""Evaluate: score the vanilla and the final program on the same rows of the sealed test split.

No other stage of a run reads the test split.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.formats.rows import Answer, ComparedRow, write_results
from bt_core.program import is_same_program, read_program
from bt_core.records import Row, StageReport, Trace, Usage, read_jsonl, write_traces
from bt_core.statistics import Difference, paired_difference
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.trace_summary import failures, mean_score
from bt_core.task import Task
from bt_core.wording import run_verdict


def evaluate(
    vanilla: Path,
    program: Path,
    test: Path,
    config: Config,
    stage: str,
    results: Path,
    engine: Engine | None = None,
    traces: Path | None = None,
) -> StageReport:
    """Score both programs on the test split and write one row for each example.

    Where the two are the same program, it is run once.

    Args:
        vanilla: directory of the program before any step.
        program: directory of the program that would be shipped.
        test: JSONL, the sealed split.
        results: the JSONL file to write, a `ComparedRow` a line.
        traces: the JSONL file to write with the second program's trace of each row; None: it is not written.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    session = Session(Stage.open(stage, "evaluate", vanilla, config), engine)
    rows = read_jsonl(test)
    is_same = is_same_program(vanilla, program)
    before = session.runner.run(session.stage.program, rows, f"{stage} vanilla")
    usage = session.usage
    after = before if is_same else session.runner_in(program).run(read_program(program), rows, f"{stage} final")
    if traces is not None:
        write_traces(traces, after)
    usages = {"vanilla": usage, "final": usage if is_same else session.usage - usage}
    return session.report(**compared(session.stage.task, rows, before, after, is_same, usages, config, results))


def compared(
    task: Task,
    rows: Sequence[Row],
    before: Sequence[Trace],
    after: Sequence[Trace],
    is_same: bool,
    usages: Mapping[str, Usage],
    config: Config,
    results: Path,
) -> dict[str, Any]:
    """Write one row for each example, and return what the report says of both programs.

    Args:
        task: it knows the groups of the rows.
        rows: the test split.
        before, after: the vanilla and the final program's traces on the rows, in their order.
        is_same: whether the two are the same program (`bt_core.program.is_same_program`).
        usages: what running each of the two programs took, under `vanilla` and `final`.
        config: its seed draws the random signs of the exact test.
        results: the JSONL file to write.
    """
    write_results(results, map(partial(_row, task), rows, before, after))
    groups = list(map(task.group_of, rows))
    scores = [t.score for t in before], [t.score for t in after]
    difference = paired_difference(*scores, groups, is_same=is_same, seed=config.seed)
    return {
        "params": {"rows": len(rows), "exact_test": difference.method},
        "metrics": _metrics(before, after, difference, usages),
        "warnings": failures(after),
        "note": _note(before, after, difference),
    }


def _row(task: Task, row: Row, before: Trace, after: Trace) -> ComparedRow:
    answers = {"vanilla": Answer.of(before), "final": Answer.of(after)}
    return ComparedRow(example=before.example, row=row, group=task.group_of(row), **answers)


def _metrics(
    before: Sequence[Trace], after: Sequence[Trace], difference: Difference, usages: Mapping[str, Usage]
) -> dict[str, float]:
    return {
        "test/vanilla": mean_score(before),
        "test/final": mean_score(after),
        "test/difference": difference.mean,
        "test/difference_low": difference.low,
        "test/difference_high": difference.high,
        "test/p_value": difference.p_value,
        "test/better": float(difference.better),
        "test/worse": float(difference.worse),
        "test/is_same": float(difference.is_same),
        "test/rows": float(difference.rows),
        "test/groups": float(difference.groups),
    } | {f"cost/prompt_tokens_per_example_{name}": usage.prompt_tokens / len(after) for name, usage in usages.items()}


def _note(before: Sequence[Trace], after: Sequence[Trace], difference: Difference) -> str:
    return run_verdict(len(after), mean_score(before), mean_score(after), difference)
