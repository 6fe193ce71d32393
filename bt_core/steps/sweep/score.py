"""Score the arms of one seed on the sealed test split, and the vanilla program that all arms start from.

All are scored in one task, which loads the model once.
"""

import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.formats.rows import Answer, ScoredRow, write_results
from bt_core.program import LineageStep, read_program
from bt_core.records import Row, StageReport, Trace, Usage, canonical_json, read_jsonl, sha256_text, write_traces
from bt_core.statistics import VANILLA
from bt_core.steps.engines import open_engine
from bt_core.steps.folders import SealedFolder
from bt_core.steps.session import Session
from bt_core.steps.stage import FinishedStage, Stage
from bt_core.steps.sweep.folders import PROGRAM_URI, ScoredFolder
from bt_core.steps.trace_summary import failures, mean_score
from bt_core.strategy import format_strategy
from bt_core.task import Task
from bt_core.wording import sealed


def score_programs(
    programs: Sequence[tuple[Path, str]], sealed: SealedFolder, stage: str, scored: ScoredFolder
) -> Generator[FinishedStage, None, None]:
    """Run programs of one base model on every test row.

    Args:
        programs: the directory of each program, and the address by which it is fetched if it is shipped.
        sealed: the sealed rows and the merged configuration.
        stage: label of the task.
        scored: the folder to write, without its configuration and reports.

    Yields:
        Each program's stage when it has ended.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    config = sealed.config
    shutil.rmtree(scored.path, ignore_errors=True)
    scored.traces(VANILLA).parent.mkdir(parents=True)
    with closing(LazyEngine(partial(open_engine, read_program(sealed.vanilla), config))) as engine:
        for program, address in programs:
            arm = arm_of(read_program(program).steps)
            results = scored.results(arm)
            report = score(program, sealed.test, config, stage, results, engine, scored.traces(arm))
            report = replace(report, params=report.params | {PROGRAM_URI: address})
            yield FinishedStage(report, {"results.jsonl": results}, {"test": sealed.test})
            engine.forget()


def score(
    program: Path,
    test: Path,
    config: Config,
    stage: str,
    results: Path,
    engine: Engine | None = None,
    traces_file: Path | None = None,
) -> StageReport:
    """Run a program on every test row.

    Args:
        program: an arm's last program, or the vanilla one.
        test: the sealed split.
        results: the JSONL file to write, a `ScoredRow` a line.
        engine: one that is open already; None: the base model is loaded.
        traces_file: the JSONL file of the traces to write, if any.

    Returns:
        The report with the rows' scores. Its params tell the arm, the seed, the outcomes in the program's lineage
        and, as `examples`, a digest of the rows, which shows whether two programs were scored on the same rows.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    opened = Stage.open(stage, "score", program, config)
    session = Session(opened, engine)
    rows = read_jsonl(test)
    traces = session.runner.run(opened.program, rows, stage)
    write_results(results, map(partial(_row, opened.task), rows, traces))
    if traces_file:
        write_traces(traces_file, traces)
    validation = {} if opened.val_score is None else {"val/score": opened.val_score}
    measured = {"test/score": mean_score(traces), "test/rows": float(len(rows))}
    arm = arm_of(opened.program.steps)
    return session.report(
        params={
            "arm": arm,
            "seed": config.seed,
            "outcomes": [step.outcome for step in opened.program.steps],
            "examples": examples_digest([trace.example for trace in traces]),
        },
        metrics=measured | validation | _cost(session.usage, len(rows)),
        warnings=failures(traces),
        note=f"`{arm}` scores {mean_score(traces):.3f} on {sealed(len(rows))}.",
        scores=tuple(trace.score for trace in traces),
    )


def arm_of(lineage: tuple[LineageStep, ...]) -> str:
    """The strategy that made a program, `p -> w`; `vanilla` where no step did."""
    return format_strategy(tuple(step.kind for step in lineage)) or VANILLA


def examples_digest(examples: list[str]) -> str:
    """A short name for the rows in their order."""
    return sha256_text(canonical_json(examples))[:16]


def _row(task: Task, row: Row, trace: Trace) -> ScoredRow:
    return ScoredRow(example=trace.example, row=row, group=task.group_of(row), **Answer.of(trace).content())


def _cost(spent: Usage, rows: int) -> dict[str, float]:
    return {
        "cost/prompt_tokens_per_example": spent.prompt_tokens / rows,
        "cost/completion_tokens_per_example": spent.completion_tokens / rows,
    }
