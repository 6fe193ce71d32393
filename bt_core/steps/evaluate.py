"""Evaluate: the only step that sees the sealed test split. Scores vanilla and final program on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.formats.rows import Answer, ComparedRow, write_results
from bt_core.lm.runner import Runner
from bt_core.program import read_program
from bt_core.records import Row, StageReport, Trace, Usage, read_jsonl
from bt_core.statistics import Difference, paired_difference
from bt_core.steps.common import Stage, failures, mean_score
from bt_core.wording import run_verdict


def evaluate(
    vanilla: Path,
    program: Path,
    test: Path,
    config: Config,
    stage: str,
    results: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Score both programs on the test split and write a row per example.

    Args:
        vanilla: the program before any step.
        program: the program that would be shipped.
        test: the sealed split.
        results: the JSONL file to write, a `ComparedRow` a line.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    work = Stage.open(stage, "evaluate", vanilla, config, engine)
    rows = read_jsonl(test)
    before = work.runner.run(work.program, rows, f"{stage} vanilla")
    spent_before = work.runner.usage
    final = Runner(work.task, config, work.runner.engine, program)
    after = final.run(read_program(program), rows, f"{stage} final")
    spent = {"vanilla": spent_before, "final": final.usage}
    return work.report(**judged(rows, before, after, spent, config, results))


def judged(
    rows: Sequence[Row],
    before: Sequence[Trace],
    after: Sequence[Trace],
    spent: Mapping[str, Usage],
    config: Config,
    results: Path,
) -> dict[str, Any]:
    """Write the row per example, and return what the report says of both programs.

    Args:
        rows: of the test split.
        before, after: the vanilla and the final program's traces on them, in their order.
        spent: what running each of them took, under `vanilla` and `final`.
        config: its seed is that of the interval.
        results: the JSONL file to write.
    """
    write_results(results, map(_row, rows, before, after))
    difference = paired_difference([t.score for t in before], [t.score for t in after], config.seed)
    return {
        "params": {"rows": len(rows)},
        "metrics": _metrics(before, after, difference, spent),
        "warnings": failures(after),
        "note": _note(before, after, difference),
    }


def _row(row: Row, before: Trace, after: Trace) -> ComparedRow:
    return ComparedRow(example=before.example, row=row, vanilla=Answer.of(before), final=Answer.of(after))


def _metrics(
    before: Sequence[Trace], after: Sequence[Trace], difference: Difference, spent: Mapping[str, Usage]
) -> dict[str, float]:
    return {
        "test/vanilla": mean_score(before),
        "test/final": mean_score(after),
        "test/difference": difference.mean,
        "test/difference_low": difference.low,
        "test/difference_high": difference.high,
        "test/rows": float(len(after)),
    } | {f"cost/prompt_tokens_per_example_{name}": usage.prompt_tokens / len(after) for name, usage in spent.items()}


def _note(before: Sequence[Trace], after: Sequence[Trace], difference: Difference) -> str:
    return run_verdict(len(after), mean_score(before), mean_score(after), difference)
