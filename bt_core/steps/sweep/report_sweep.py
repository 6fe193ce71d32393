"""Complete sweep.json with the winner's prompts and lineage, and with the answers that it changed."""

import time
from collections.abc import Sequence
from pathlib import Path

from bt_core.errors import DataError
from bt_core.formats.rows import ScoredRow, read_results
from bt_core.formats.sweep import Sweep, SweepFigures
from bt_core.formats.winner import (
    ChangedAnswer,
    ChangedAnswers,
    ProgramDifference,
    Winner,
    WinnerName,
    WinnerPredictor,
    WinnerStep,
)
from bt_core.program import Program, program_sha256, read_program
from bt_core.records import StageReport
from bt_core.statistics import VANILLA, paired_difference
from bt_core.steps.handover import copy_program
from bt_core.steps.sweep.folders import ComparedFolder
from bt_core.wording import Interval

#: How many changed rows of each kind are shown.
SHOWN = 20


def report_sweep(compared: ComparedFolder, program: Path, completed: Path, shipped: Path) -> StageReport:
    """Write the whole sweep.json, and a copy of the program to ship.

    Args:
        compared: what `compare_arms` wrote.
        program: the winner's program; the vanilla one where no arm won.
        completed: the JSON file to write.
        shipped: the directory to copy the program to.

    Raises:
        ProgramError: when the program directory is damaged.
        DataError: when a file is damaged, or the two results are not of the same rows.
    """
    started = time.time()
    figures = SweepFigures.read(compared.sweep)
    best = read_program(program)
    vanilla, results = (read_results(path, ScoredRow) for path in (compared.vanilla, compared.results))
    changed = changed_answers(vanilla, results)
    winner = None
    if figures.winner:
        scores = _own_scores(vanilla, results, figures.alpha)
        winner = _winner(figures.winner, best, program, *scores)
    complete = Sweep.completed(figures, winner, changed)
    complete.write(completed)
    copy_program(program, shipped)
    return StageReport(
        "report", "report", metrics=_metrics(complete), note=_note(complete), started=started, ended=time.time()
    )


def _own_scores(
    vanilla: Sequence[ScoredRow], results: Sequence[ScoredRow], alpha: float
) -> tuple[float, ProgramDifference]:
    """The mean test score of the program to ship, and its difference to vanilla: of this program, not of its arm."""
    before, after = ([row.score for row in rows] for rows in (vanilla, results))
    found = paired_difference(before, after, [row.group for row in vanilla], 1.0 - alpha)
    return sum(after) / len(after), ProgramDifference(mean=found.mean, low=found.low, high=found.high)


def _winner(
    chosen: WinnerName, program: Program, folder: Path, score: float, versus_vanilla: ProgramDifference
) -> Winner:
    predictors = {name: WinnerPredictor.model_validate(state) for name, state in program.predictors.items()}
    return Winner(
        **chosen.content(),
        score=score,
        versus_vanilla=versus_vanilla,
        program_sha256=program_sha256(folder),
        lineage=tuple(map(WinnerStep.model_validate, program.lineage)),
        predictors=predictors,
    )


def _metrics(sweep: Sweep) -> dict[str, float]:
    """The shipped program against vanilla, under the names that a single run gives them, and the mean of its arm."""
    metrics = {"test/vanilla": sweep.vanilla.mean, "test/rows": float(sweep.rows.test)}
    winner = sweep.winner
    if winner:
        metrics |= {"test/final": winner.score, **_difference("test/difference", winner.versus_vanilla)}
    arm = next((arm for arm in sweep.arms if winner and arm.name == winner.arm), None)
    if arm and arm.versus_vanilla:
        metrics |= {"test/arm": arm.mean, **_difference("test/arm_difference", arm.versus_vanilla)}
    return metrics


def _difference(name: str, difference: Interval) -> dict[str, float]:
    return {name: difference.mean, f"{name}_low": difference.low, f"{name}_high": difference.high}


def _note(sweep: Sweep) -> str:
    """Markdown: the verdict and the shipped program first, then vanilla and the arms, the best by test score on top."""
    arms = sorted(sweep.arms, key=lambda arm: -arm.mean)
    rows = [(VANILLA, sweep.vanilla, ""), *((arm.name, arm, f"{arm.validation:.3f}") for arm in arms)]
    return "\n".join(
        [
            f"**{sweep.verdict.label}.** {sweep.verdict.sentence}",
            "",
            *([sweep.shipped, ""] if sweep.shipped else []),
            "| arm | test | interval | validation |",
            "|---|---|---|---|",
            *(
                f"| {name} | {scores.mean:.3f} | {scores.low:.3f} to {scores.high:.3f} | {validation} |"
                for name, scores, validation in rows
            ),
        ]
    )


def changed_answers(before: Sequence[ScoredRow], after: Sequence[ScoredRow]) -> ChangedAnswers:
    """The rows that one program scores higher on than another, and those that it scores lower on.

    Args:
        before: the results of the other program.
        after: the results of the one program.

    Raises:
        DataError: when they are not of the same examples in the same order.
    """
    if [row.example for row in before] != [row.example for row in after]:
        raise DataError("The two results are not of the same test rows: score both programs on one test split.")
    pairs = list(zip(before, after, strict=True))
    gained = [_change(old, new) for old, new in pairs if new.score > old.score]
    lost = [_change(old, new) for old, new in pairs if new.score < old.score]
    return ChangedAnswers(
        gained=tuple(gained[:SHOWN]), lost=tuple(lost[:SHOWN]), gained_count=len(gained), lost_count=len(lost)
    )


def _change(before: ScoredRow, after: ScoredRow) -> ChangedAnswer:
    return ChangedAnswer(
        row=before.row,
        before=before.prediction,
        after=after.prediction,
        feedback_before=before.feedback,
        feedback_after=after.feedback,
    )
