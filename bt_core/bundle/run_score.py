"""What a run's sealed test rows say of a program, for readers of its card."""

from pathlib import Path

from bt_core.errors import DataError
from bt_core.formats.rows import read_scores
from bt_core.formats.run_result import RunResult
from bt_core.program import program_sha256
from bt_core.wording import run_verdict, sealed

#: The files that `bt run` writes beside the program directory.
RESULT_FILE, ROWS_FILE = "result.json", "results.jsonl"


def run_score(program: Path, result: Path | None = None) -> str | None:
    """The test score with its interval, in sentences; None where it is not known.

    Args:
        program: the program directory.
        result: the run's result.json; None: the one beside the program directory, if there is one.

    Raises:
        DataError: when the file that was named is not of a run that shipped this program and scored it.
    """
    if result is not None:
        return _score(program, result)
    try:
        return _score(program, program.resolve().parent / RESULT_FILE)
    except DataError:  # there is none, or it is about something else
        return None


def _score(program: Path, path: Path) -> str:
    found = RunResult.read(path)
    if found.test is None or found.program_sha256 != program_sha256(program):
        raise DataError(f"{path} has no test score of the program {program}: name the result.json of its own run.")
    test, own = found.test, _own_interval(path.with_name(ROWS_FILE))
    score = f"Test score: {test.final:.3f} on {sealed(test.rows)}{own}, which chose nothing."
    return f"{score} {run_verdict(test.rows, test.vanilla, test.final, test.difference)}"


def _own_interval(rows: Path) -> str:
    """The interval of a score that is a share of right answers; of graded scores only the difference has one."""
    from bt_core.statistics import proportion_interval  # which loads NumPy; this module is loaded by every command

    if not rows.is_file():
        return ""
    scores = list(read_scores(rows).values())
    if any(score.score not in (0.0, 1.0) for score in scores):
        return ""
    groups = [score.group or "" for score in scores] if all(score.group for score in scores) else None
    low, high = proportion_interval([score.score == 1.0 for score in scores], groups)
    return f" (95% interval {low:.3f} to {high:.3f})"
