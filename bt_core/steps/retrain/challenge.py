"""Challenge: score champion and challenger on the same fresh sealed rows, and bet on their differences."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bt_core.config import Config, Decoding, validated
from bt_core.engine.base import Engine
from bt_core.formats.rows import Answer, ChallengeRow, write_results
from bt_core.program import is_same_program, read_program
from bt_core.records import Row, StageReport, Trace, read_jsonl
from bt_core.statistics import Difference, paired_difference
from bt_core.statistics.drift import ScoreSummary
from bt_core.statistics.promotion import bet, evidence, unit_means
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.trace_summary import failures, mean_score
from bt_core.task import Task
from bt_core.wording import on_test_rows, sealed

#: Decisions: there is no champion yet; the challenger is the champion; the evidence of all its nights decides.
FIRST, KEEP, JUDGE = "first", "keep", "judge"
#: Params of the report. A score is a `ScoreSummary`, the night a `bt_core.statistics.promotion.Night`.
DECISION, REASON, SCORE, CHAMPION_SCORE, NIGHT = "decision", "reason", "score", "champion_score", "night"


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
    """Score both programs on every sealed row, and bet that the challenger is better by more than the margin.

    Args:
        champion: the champion's program directory; where there is none, the program that the run started from.
        challenger: the program directory that the run made, or that of the challenger in shadow.
        test: sealed rows that no earlier run has compared on, and that this run has marked.
        is_first: whether there is no champion yet. The challenger then becomes champion, whatever it scores.
        results: the JSONL file to write, a `ChallengeRow` a line.
        engine: an engine that is loaded already, with the base model of both programs.

    Returns:
        The report. Its params hold the decision as far as it is one of these rows alone, what they show as a sentence,
        summaries of both programs' scores, and the night's bets.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    rows = read_jsonl(test)
    session = open_as_made(challenger, config, stage, "challenge", engine)
    after = session.runner.run(session.stage.program, rows, f"{stage} challenger")
    is_same = is_same_program(champion, challenger)
    before = after if is_same else _champion_traces(champion, rows, config, session, engine)
    write_results(results, map(partial(_row, session.stage.task), rows, before, after))
    groups = [session.stage.task.group_of(row) for row in rows]
    scores = [trace.score for trace in before], [trace.score for trace in after]
    difference = paired_difference(*scores, groups, is_same=is_same, seed=config.seed)
    night = bet(*scores, config.retrain.margin, groups)
    old, new = (ScoreSummary.of(list(unit_means(values, groups))) for values in scores)
    decision = FIRST if is_first else KEEP if is_same else JUDGE
    means = mean_score(before), mean_score(after)
    reason = _reason(decision, difference, means, len(rows))
    summaries = {SCORE: asdict(new), CHAMPION_SCORE: asdict(old), NIGHT: asdict(night)}
    return session.report(
        params={DECISION: decision, REASON: reason, **summaries},
        metrics=_metrics(difference, means, len(rows)) | {"test/night_e": evidence([night], night.margin).e_value},
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
    if decoding:
        source = f"`decoding` of the program {folder}"
        made = validated(Decoding, decoding, source, "docs/configuration.md lists every key", "decoding.")
        config = config.model_copy(update={"decoding": made})
    return Session(Stage.open(stage, kind, folder, config), engine)


def _shared(session: Session, other: Path) -> Engine | None:
    """The session's engine, if the other program has the same base model."""
    own, program = session.stage.program, read_program(other)
    is_same = (program.model, program.model_revision) == (own.model, own.model_revision)
    return session.engine if is_same else None


def _row(task: Task, row: Row, before: Trace, after: Trace) -> ChallengeRow:
    answers = {"champion": Answer.of(before), "challenger": Answer.of(after)}
    return ChallengeRow(example=before.example, row=row, group=task.group_of(row), **answers)


def _metrics(difference: Difference, means: tuple[float, float], rows: int) -> dict[str, float]:
    return {
        "test/champion": means[0],
        "test/challenger": means[1],
        "test/difference": difference.mean,
        "test/difference_low": difference.low,
        "test/difference_high": difference.high,
        "test/rows": float(rows),
    }


def _reason(decision: str, difference: Difference, means: tuple[float, float], rows: int) -> str:
    if decision == FIRST:
        return f"There was no champion: the challenger becomes it, with {means[1]:.3f} on {sealed(rows)}."
    if decision == KEEP:
        return f"The challenger equals the champion, which stays, with {means[1]:.3f} on {sealed(rows)}."
    return on_test_rows(sealed(rows), "champion -> challenger", means, difference)
