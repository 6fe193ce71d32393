"""Challenge: score champion and challenger on the same fresh sealed rows, and decide whether the challenger wins."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bt_core.config import Config, Decoding
from bt_core.engine.base import Engine
from bt_core.formats.rows import Answer, ChallengeRow, write_results
from bt_core.program import is_same_program, read_program
from bt_core.records import Row, StageReport, Trace, read_jsonl
from bt_core.statistics import Challenge
from bt_core.statistics import challenge as compare
from bt_core.statistics.promotion import ScoreSummary
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.trace_summary import failures
from bt_core.task import Task
from bt_core.wording import on_test_rows, p_phrase, sealed

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
        results: the JSONL file to write, a `ChallengeRow` a line.
        engine: an engine that is loaded already, with the base model of both programs.

    Returns:
        The report. Its params hold the decision, the reason as a sentence, and a summary of the challenger's scores.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    rows = read_jsonl(test)
    session = open_as_made(challenger, config, stage, "challenge", engine)
    after = session.runner.run(session.stage.program, rows, f"{stage} challenger")
    is_same = is_same_program(champion, challenger)
    before = after if is_same else _champion_traces(champion, rows, config, session, engine)
    write_results(results, map(partial(_row, session.stage.task), rows, before, after))
    scores = [trace.score for trace in before], [trace.score for trace in after]
    comparison = compare(*scores, config.retrain.margin, config.retrain.confidence, config.seed)
    old, new = map(ScoreSummary.of, scores)
    decision = FIRST if is_first else PROMOTE if comparison.is_better and not is_same else KEEP
    reason = _reason(decision, comparison, old, new, is_same)
    return session.report(
        params={DECISION: decision, REASON: reason, SCORE: asdict(new)},
        metrics=_metrics(comparison, old, new),
        warnings=failures(after),
        note=f"**{reason}**",
    )


def _champion_traces(
    champion: Path, rows: Sequence[Row], config: Config, session: Session, engine: Engine | None
) -> list[Trace]:
    """The champion's traces. What an engine of its own spends is counted in the challenger's session."""
    stage = session.stage
    shared = engine or _shared(session, champion)
    rival = open_as_made(champion, config, stage.name, stage.kind, shared)
    traces = rival.runner.run(rival.stage.program, rows, f"{stage.name} champion")
    rival.close()
    if shared is None:
        session.count(rival.usage)
    return traces


def open_as_made(folder: Path, config: Config, stage: str, kind: str, engine: Engine | None) -> Session:
    """A session whose program uses the decoding settings that it was made with, as it does when it serves."""
    decoding = read_program(folder).decoding
    made_with = config.model_copy(update={"decoding": Decoding(**decoding)}) if decoding else config
    return Session(Stage.open(stage, kind, folder, made_with), engine)


def _shared(session: Session, other: Path) -> Engine | None:
    """The session's engine, if the other program has the same base model."""
    own, program = session.stage.program, read_program(other)
    is_same = (program.model, program.model_revision) == (own.model, own.model_revision)
    return session.engine if is_same else None


def _row(task: Task, row: Row, before: Trace, after: Trace) -> ChallengeRow:
    answers = {"champion": Answer.of(before), "challenger": Answer.of(after)}
    return ChallengeRow(example=before.example, row=row, group=task.group_of(row), **answers)


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
        return f"There was no champion: the challenger becomes it, with {after.mean:.3f} on {sealed(after.rows)}."
    if is_same:
        return f"The challenger equals the champion, which stays, with {after.mean:.3f} on {sealed(after.rows)}."
    verdict = "better than" if decision == PROMOTE else "not shown to be better than"
    return on_test_rows(
        sealed(after.rows),
        f"the challenger is {verdict} the champion by more than {comparison.margin:g}",
        (before.mean, after.mean),
        comparison.difference,
        p_phrase(comparison.p_value),
        confidence=comparison.confidence,
    )
