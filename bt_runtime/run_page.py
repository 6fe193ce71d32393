"""The page that shows the result of a run of one strategy, in Kubeflow's UI and in MLflow."""

from collections.abc import Sequence
from pathlib import Path

from bt_core.config import Config
from bt_core.formats.rows import Answer, ComparedRow, ScoredRow, read_results
from bt_core.formats.run_result import RunResult
from bt_core.formats.winner import ChangedAnswers
from bt_core.program import read_program
from bt_core.task import load_task


def write_page(result: Path, results: Path, program: Path, config: Config, page: Path) -> None:
    """Write the page.

    Args:
        result: the run's result.json.
        results: its results.jsonl.
        program: directory of the shipped program.
        config: the merged configuration.
        page: the HTML file to write.

    Raises:
        BtError: when an input is damaged.
    """
    from bt_report import render_run

    changed, inputs = (
        changed_rows(read_results(results, ComparedRow)),
        load_task(config.task, config.task_settings).inputs,
    )
    page.write_text(render_run(RunResult.read(result), changed, read_program(program), inputs), encoding="utf-8")


def changed_rows(rows: Sequence[ComparedRow]) -> ChangedAnswers:
    """The rows on which the shipped program scores unlike the vanilla one."""
    from bt_core.steps.sweep.report_sweep import changed_answers

    vanilla, final = ([_scored(row, getattr(row, side)) for row in rows] for side in ("vanilla", "final"))
    return changed_answers(vanilla, final)


def _scored(row: ComparedRow, answer: Answer) -> ScoredRow:
    return ScoredRow(example=row.example, row=row.row, group=row.group, **dict(answer))
