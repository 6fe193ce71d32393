"""Challenge: champion and challenger on the same fresh sealed rows, and whether the challenger has won."""

from dataclasses import asdict, replace
from pathlib import Path

from bt_core.config import Config, Decoding
from bt_core.engine.base import Engine
from bt_core.formats.rows import Answer, ChallengeRow, write_results
from bt_core.program import Program, read_program
from bt_core.records import Row, StageReport, Trace, read_jsonl
from bt_core.statistics import Challenge
from bt_core.statistics import challenge as compare
from bt_core.statistics.promotion import ScoreSummary
from bt_core.steps.common import Stage, failures
from bt_core.wording import on_test_rows, p_phrase, sealed

#: The three decisions: there is no champion yet; the challenger won; it did not.
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
        champion: its program directory; where there is none, the program that the run started from.
        challenger: what the run made.
        test: sealed rows that no run has compared on.
        is_first: there is no champion yet: the challenger becomes it, whatever it scores.
        results: the JSONL file to write, a `ChallengeRow` a line.
        engine: one that is already loaded, with the base model of both.

    Returns:
        The report. Its params hold the decision, the reason in a sentence, and the challenger's score in figures.

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
    write_results(results, map(_row, rows, before, after))
    scores = [trace.score for trace in before], [trace.score for trace in after]
    found = compare(*scores, config.retrain.margin, config.retrain.confidence, config.seed)
    old, new = map(ScoreSummary.of, scores)
    decision = FIRST if is_first else PROMOTE if found.is_better and rival else KEEP
    reason = _reason(decision, found, old, new, rival is None)
    report = work.report(
        params={DECISION: decision, REASON: reason, SCORE: asdict(new)},
        metrics=_metrics(found, old, new),
        warnings=failures(after),
        note=f"**{reason}**",
    )
    if rival is None:
        return report
    rival.close_engine()
    return replace(report, usage=report.usage + rival.spent)


def open_as_made(folder: Path, config: Config, stage: str, kind: str, engine: Engine | None) -> Stage:
    """A stage whose program answers with the decoding that it was made with, as it does when it serves."""
    decoding = read_program(folder).decoding
    made_with = config.model_copy(update={"decoding": Decoding(**decoding)}) if decoding else config
    return Stage.open(stage, kind, folder, made_with, engine)


def _answers(folder: Path) -> Program:
    """All of a program that its answers depend on."""
    return replace(read_program(folder), lineage=())


def _shared(work: Stage, other: Path) -> Engine | None:
    """The engine that is open already, if the other program has the same base model."""
    program = read_program(other)
    is_same = (program.model, program.model_revision) == (work.program.model, work.program.model_revision)
    return work.runner.engine if is_same else None


def _row(row: Row, before: Trace, after: Trace) -> ChallengeRow:
    return ChallengeRow(example=before.example, row=row, champion=Answer.of(before), challenger=Answer.of(after))


def _metrics(found: Challenge, before: ScoreSummary, after: ScoreSummary) -> dict[str, float]:
    return {
        "test/champion": before.mean,
        "test/challenger": after.mean,
        "test/difference": found.difference.mean,
        "test/difference_low": found.difference.low,
        "test/difference_high": found.difference.high,
        "test/p_value": found.p_value,
        "test/rows": float(after.rows),
    }


def _reason(decision: str, found: Challenge, before: ScoreSummary, after: ScoreSummary, is_same: bool) -> str:
    if decision == FIRST:
        return f"There was no champion: the challenger becomes it, with {after.mean:.3f} on {sealed(after.rows)}."
    if is_same:
        return f"Optimising ended where it began: the champion stays, with {after.mean:.3f} on {sealed(after.rows)}."
    verdict = "better than" if decision == PROMOTE else "not shown to be better than"
    return on_test_rows(
        sealed(after.rows),
        f"the challenger is {verdict} the champion by more than {found.margin:g}",
        (before.mean, after.mean),
        found.difference,
        p_phrase(found.p_value),
        confidence=found.confidence,
    )
