"""Shards: parts of a split that run on several machines, and whose traces are merged in the order of the rows.

A trace does not depend on other rows, so that any number of shards gives the same traces; how rows are batched changes
at most the last digits of log-probabilities.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.errors import ConfigError, DataError
from bt_core.formats.traces import read_traces
from bt_core.records import Row, StageReport, Trace, Usage, read_jsonl, row_id, write_traces
from bt_core.steps.bootstrap import gather, summary
from bt_core.steps.evaluate import compared
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.teacher import teacher_session
from bt_core.task import load_task


def part_of(rows: Sequence[Row], shard: int, shards: int) -> list[Row]:
    """The rows of one shard: neighbours, and at most one row more than any other shard has.

    Raises:
        ConfigError: when the shard does not exist, or a shard would have no row.
    """
    if not 0 <= shard < shards:
        raise ConfigError(f"There is no shard {shard} of {shards}: number them from 0.")
    if shards > len(rows):
        raise ConfigError(
            f"{shards} shards are too many for a split of {len(rows)} rows: compile with --shards {len(rows)} at most."
        )
    start, end = (len(rows) * position // shards for position in (shard, shard + 1))
    return list(rows[start:end])


def run_shard(
    program: Path,
    rows: Path,
    config: Config,
    stage: str,
    shard: tuple[int, int],
    bootstrapping: bool,
    traces: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Run a program on one shard of a split.

    Args:
        program: the program directory.
        rows: JSONL, the whole split.
        shard: the number of the shard, from 0, and the number of shards.
        bootstrapping: run as `bootstrap` does, with attempts and a teacher; else as `evaluate` does.
        traces: JSONL to write, one trace for each row.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    name = f"{stage}.{shard[0] + 1}of{shard[1]}"
    session = Session(Stage.open(name, "shard", program, config), engine)
    part = part_of(read_jsonl(rows), *shard)
    if bootstrapping:
        session = teacher_session(session)
        shard_traces = gather(session, part)
    else:
        shard_traces = session.runner.run(session.stage.program, part, name)
    write_traces(traces, shard_traces)
    return session.report(metrics={"shard/rows": float(len(part))}, note=f"{len(part)} rows.")


def merge_bootstrap(
    parts: Sequence[Path], reports: Sequence[StageReport], train: Path, config: Config, stage: str, traces: Path
) -> StageReport:
    """Merge shards into what `bootstrap` would have written and reported; usage is the sum over the shards.

    Raises:
        DataError: when a row has no trace.
    """
    task, rows = load_task(config.task, config.task_settings), read_jsonl(train)
    gathered = merged(parts, rows)
    write_traces(traces, gathered)
    return _report(stage, "bootstrap", reports, **summary(gathered, rows, task, config))


def merge_evaluation(
    vanilla: tuple[Sequence[Path], Sequence[StageReport]],
    final: tuple[Sequence[Path], Sequence[StageReport]],
    is_same: bool,
    test: Path,
    config: Config,
    stage: str,
    results: Path,
    traces: Path | None = None,
) -> StageReport:
    """Merge the shards of both programs into what `evaluate` would have written and reported.

    Args:
        vanilla, final: each program's trace files, one for each shard, and the shards' reports.
        is_same: whether the two are the same program (`bt_core.program.is_same_program`). The traces of the vanilla one
            are then taken for both.
        traces: the JSONL file to write with the final program's traces; None: it is not written.

    Raises:
        DataError: when a row has no trace.
    """
    task, rows = load_task(config.task, config.task_settings), read_jsonl(test)
    before = merged(vanilla[0], rows)
    after = before if is_same else merged(final[0], rows)
    if traces is not None:
        write_traces(traces, after)
    usages = {"vanilla": _usage(vanilla[1]), "final": _usage(final[1])}
    comparison = compared(task, rows, before, after, is_same, usages, config, results)
    return _report(stage, "evaluate", [*vanilla[1], *final[1]], **comparison)


def merged(parts: Sequence[Path], rows: Sequence[Row]) -> list[Trace]:
    """The traces of all parts in the order of the rows, whatever the order of the parts.

    Raises:
        DataError: when a row has no trace.
    """
    traces = {trace.example: trace for part in parts for trace in read_traces(part)}
    missing = sum(row_id(row) not in traces for row in rows)
    if missing:
        raise DataError(f"{missing} of {len(rows)} rows have no trace in the {len(parts)} shards: run them all again.")
    return [traces[row_id(row)] for row in rows]


def _usage(reports: Sequence[StageReport]) -> Usage:
    return sum((report.usage for report in reports), Usage())


def _report(stage: str, kind: str, reports: Sequence[StageReport], **parts: Any) -> StageReport:
    started = min(report.started for report in reports)
    ended = max(report.ended for report in reports)
    return StageReport(stage, kind, usage=_usage(reports), started=started, ended=ended, **parts)
