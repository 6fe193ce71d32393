"""Challenge: score champion and challenger on the same fresh sealed rows, and decide whether the challenger wins."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config, Decoding
from bt_core.engine.base import Engine
from bt_core.program import Program, read_program
from bt_core.records import StageReport, Trace, read_jsonl, write_jsonl
from bt_core.statistics import Challenge
from bt_core.statistics import challenge as compare
from bt_core.statistics.promotion import ScoreSummary
from bt_core.steps.common import Stage, failures

#: Decisions: there is no champion yet; the challenger won; the challenger did not win.
FIRST, PROMOTE, KEEP = "first", "promote", "keep"
#: Params of the report.
DECISION, REASON, SCORE = "decision", "reason", "score"


def challenge(
    champion: Path,
    challenger: Path,
    test: Path,
    config: Config,
    is_first: bool,
    stage: str,
    results: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Score both programs on every sealed row and decide.

    Args:
        champion: the champion's program directory; where there is none, the program that the run started from.
        challenger: the program directory that the run made.
        test: sealed rows that no earlier run has compared on.
        is_first: whether there is no champion yet. The challenger then becomes champion, whatever it scores.
        results: JSONL file to write: {example, row, champion: {score, prediction, error}, challenger: {...}}.
        engine: an engine that is loaded already, with the base model of both programs.

    Returns:
        The report. Its params hold the decision, the reason as a sentence, and a summary of the challenger's scores.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    rows = read_jsonl(test)
    work = open_as_made(challenger, config, stage, "challenge", engine)
    after = work.runner.run(work.program, rows, f"{stage} challenger")
    if _answers(champion) == _answers(challenger):
        before, rival = after, None
    else:
        rival = open_as_made(champion, config, stage, "challenge", engine or _shared(work, champion))
        before = rival.runner.run(rival.program, rows, f"{stage} champion")
    write_jsonl(results, map(_row, rows, before, after))
    scores = [trace.score for trace in before], [trace.score for trace in after]
    comparison = compare(*scores, config.retrain.margin, config.retrain.confidence, config.seed)
    old, new = map(ScoreSummary.of, scores)
    decision = FIRST if is_first else PROMOTE if comparison.is_better and rival else KEEP
    reason = _reason(decision, comparison, old, new, rival is None)
    report = work.report(
        params={DECISION: decision, REASON: reason, SCORE: asdict(new)},
        metrics=_metrics(comparison, old, new),
        warnings=failures(after),
        note=f"**{reason}**",
    )
    if rival is None:
        return report
    rival.close_engine()
    return replace(report, usage=report.usage + rival.spent)


def open_as_made(folder: Path, config: Config, stage: str, kind: str, engine: Engine | None) -> Stage:
    """A stage whose program uses the decoding settings that it was made with, as it does when it serves."""
    decoding = read_program(folder).decoding
    made_with = config.model_copy(update={"decoding": Decoding(**decoding)}) if decoding else config
    return Stage.open(stage, kind, folder, made_with, engine)


def _answers(folder: Path) -> Program:
    """The part of a program that its answers depend on."""
    return replace(read_program(folder), lineage=())


def _shared(work: Stage, other: Path) -> Engine | None:
    """The engine of `work`, if the other program has the same base model."""
    program = read_program(other)
    is_same = (program.model, program.model_revision) == (work.program.model, work.program.model_revision)
    return work.runner.engine if is_same else None


def _row(row: dict[str, Any], before: Trace, after: Trace) -> dict[str, Any]:
    shown = [{"score": trace.score, "prediction": trace.prediction, "error": trace.error} for trace in (before, after)]
    return {"example": before.example, "row": row, "champion": shown[0], "challenger": shown[1]}


def _metrics(comparison: Challenge, before: ScoreSummary, after: ScoreSummary) -> dict[str, float]:
    return {
        "test/champion": before.mean,
        "test/challenger": after.mean,
        "test/difference": comparison.difference.mean,
        "test/difference_low": comparison.difference.low,
        "test/difference_high": comparison.difference.high,
        "test/p_value": comparison.p_value,
        "test/rows": float(after.rows),
    }


def _reason(decision: str, comparison: Challenge, before: ScoreSummary, after: ScoreSummary, is_same: bool) -> str:
    if decision == FIRST:
        return f"There was no champion: the challenger becomes it, with {after.mean:.3f} on {after.rows} sealed rows."
    if is_same:
        return f"The challenger equals the champion, which stays, with {after.mean:.3f} on {after.rows} sealed rows."
    gap, confidence = comparison.difference, comparison.confidence
    verdict = "is better than" if decision == PROMOTE else "is not shown to be better than"
    return (
        f"The challenger {verdict} the champion by more than {comparison.margin:g}: {after.mean:.3f} against"
        f" {before.mean:.3f} on {after.rows} sealed rows, difference {gap.mean:+.3f} ({confidence:.0%} interval"
        f" {gap.low:+.3f} to {gap.high:+.3f}, p = {comparison.p_value:.3g})."
    )
