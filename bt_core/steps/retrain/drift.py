"""Drift: do the new rows look like the earlier ones, and does the champion score as it did after its promotion?

The score at the promotion is no measure of that: the champion was promoted because it was high, so that a later score
is lower though nothing has changed.

Only rows that may be learnt from are read; sealed rows stay sealed.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.records import StageReport, read_jsonl
from bt_core.statistics import ColumnDrift, input_drift
from bt_core.statistics.drift import ScoreSummary, score_shift
from bt_core.statistics.promotion import unit_means
from bt_core.steps.retrain.challenge import open_as_made
from bt_core.steps.retrain.fresh import EARLIER, NEW
from bt_core.steps.trace_summary import failures
from bt_core.task import load_task


def drift(
    rows: Path,
    champion: Path | None,
    before: Mapping[str, Any],
    config: Config,
    stage: str,
    engine: Engine | None = None,
) -> StageReport:
    """Report on drift of inputs, labels and the champion's score. Nothing is decided by it.

    Args:
        rows: the folder of rows that `fresh` wrote.
        champion: the champion's program directory; None where there is none.
        before: the champion's score on the first sealed rows after its promotion, which were not among those that
            promoted it: `mean`, `deviation`, `rows`; empty where there is none yet.
        config: the merged configuration.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    started = time.time()
    alpha = config.retrain.drift_alpha
    task = load_task(config.task, config.task_settings)
    new, earlier = read_jsonl(rows / NEW), read_jsonl(rows / EARLIER)
    columns = input_drift(earlier, new, [*task.inputs, *task.labels])
    metrics = {f"drift/{column.column}": column.adjusted for column in columns}
    lines, warnings = _table(columns, alpha), [_warning(column) for column in columns if column.adjusted <= alpha]
    if champion is None or not new:
        note = "\n".join(lines)
        return StageReport(
            stage, "drift", metrics=metrics, note=note, warnings=tuple(warnings), started=started, ended=time.time()
        )
    session = open_as_made(champion, config, stage, "drift", engine)
    recent = new[-config.rows.test :]
    traces = session.runner.run(session.stage.program, recent, stage)
    now = ScoreSummary.of(list(unit_means([trace.score for trace in traces], [task.group_of(row) for row in recent])))
    found, sentence, alarm = _compared(ScoreSummary(**before) if before else None, now, alpha)
    lines += ["", f"The champion scores {now.mean:.3f} on {len(recent)} new rows. {sentence}"]
    warnings += [alarm] if alarm else []
    return session.report(metrics=metrics | found, note="\n".join(lines), warnings=(*warnings, *failures(traces)))


def _compared(then: ScoreSummary | None, now: ScoreSummary, alpha: float) -> tuple[dict[str, float], str, str]:
    """The champion's score against its earlier one: the figures, a sentence, and a warning where it is lower."""
    metrics = {"drift/champion_score": now.mean, "drift/champion_rows": float(now.rows)}
    if then is None:
        nothing = "This is compared with nothing: no run after its promotion has scored it on sealed rows yet."
        return metrics, nothing, ""
    p_value = score_shift(then, now)
    metrics |= {"drift/score_before": then.mean, "drift/score_p": p_value}
    sentence = (
        f"It had {then.mean:.3f} on {then.rows} sealed ones after its promotion (p = {p_value:.3f}, Welch's t-test)."
    )
    is_lower = p_value <= alpha and now.mean < then.mean
    alarm = f"The champion scores {now.mean:.3f} on new rows, {then.mean:.3f} after its promotion."
    return metrics, sentence, alarm if is_lower else ""


def _table(columns: Sequence[ColumnDrift], alpha: float) -> list[str]:
    if not columns:
        return ["There are no earlier rows to compare the new ones with."]
    lines = ["| column | test of | earlier | new | adjusted p | |", "|---|---|---|---|---|---|"]
    return lines + [
        f"| {c.column} | {c.method} | {c.before} | {c.after} | {c.adjusted:.3g} |"
        f" {'**drift**' if c.adjusted <= alpha else ''} |"
        for c in columns
    ]


def _warning(column: ColumnDrift) -> str:
    return (
        f"The {column.method} of `{column.column}` differ from those of earlier rows (adjusted p ="
        f" {column.adjusted:.3g}): {column.before} before, {column.after} now."
    )
