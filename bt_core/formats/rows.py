"""`results.jsonl` and a sweep's `scores/*.jsonl`: what programs answered on the test examples, a line each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import Field, ValidationError

from bt_core.errors import DataError
from bt_core.formats.document import Part, Score, tell_mistakes
from bt_core.records import Trace, read_jsonl, write_jsonl


class Answer(Part):
    """What one program did on a test example."""

    score: Score = Field(description="the metric, in [0, 1]")
    prediction: dict[str, Any] = Field(description="output fields of the program; empty if the example failed")
    error: str | None = Field(description="why the example failed; null if it did not")
    feedback: str = Field("", description="what the metric said beside its score; may be empty")

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """The answer that a trace ended in."""
        said = trace.feedback_text
        return cls(score=trace.score, prediction=trace.prediction, error=trace.error, feedback=said)


class Example(Part):
    """A test example."""

    example: str = Field(description="name of the example, the start of the row's sha256")
    row: dict[str, Any] = Field(description="the example with all its columns")
    group: str | None = Field(None, description="name of the row's group; null where the task has no groups")


class ScoredRow(Answer, Example):
    """One program on a test example: a line of a sweep's results."""


class ComparedRow(Example):
    """The two programs of a run on a test example: a line of a run's results."""

    vanilla: Answer = Field(description="the program before any step")
    final: Answer = Field(description="the shipped program")


def compared_rows(vanilla: Iterable[ScoredRow], final: Iterable[ScoredRow]) -> list[ComparedRow]:
    """The results of two programs of a sweep on the same test rows, as those of a run."""

    def answer(row: ScoredRow) -> Answer:
        return Answer(score=row.score, prediction=row.prediction, error=row.error, feedback=row.feedback)

    return [
        ComparedRow(example=old.example, row=old.row, group=old.group, vanilla=answer(old), final=answer(new))
        for old, new in zip(vanilla, final, strict=True)
    ]


class ChallengeRow(Example):
    """The two programs of a retraining on a test example: a line of its results."""

    champion: Answer = Field(description="the program that serves")
    challenger: Answer = Field(description="the program that the retraining made")


ResultRow = TypeVar("ResultRow", bound=Example)


def write_results(path: Path, rows: Iterable[Example]) -> None:
    """Write a line for each test example."""
    write_jsonl(path, (row.content() for row in rows))


def read_results(path: Path, kind: type[ResultRow]) -> list[ResultRow]:
    """Read the results of a run, a sweep or a retraining.

    Raises:
        DataError: when the file is missing or a line is not of that kind; names the line and the keys.
    """
    return [_parsed(row, kind, path, number) for number, row in enumerate(read_jsonl(path), start=1)]


class RowScore(NamedTuple):
    """The score of one program on a test example, and the name of the example's group (None: it has none)."""

    score: float
    group: str | None


def read_scores(path: Path) -> dict[str, RowScore]:
    """Read the score of each example: the final program's in the results of a run, the only one's in a sweep's.

    Raises:
        DataError: when the file is missing or empty, or a line is neither; names the line and the keys.
    """
    scores: dict[str, RowScore] = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        if "final" in row:
            compared = _parsed(row, ComparedRow, path, number)
            scores[compared.example] = RowScore(compared.final.score, compared.group)
        else:
            scored = _parsed(row, ScoredRow, path, number)
            scores[scored.example] = RowScore(scored.score, scored.group)
    if not scores:
        raise DataError(f"{path} has no rows: name a results file that a run or a sweep wrote.")
    return scores


def _parsed(row: dict[str, Any], kind: type[ResultRow], path: Path, number: int) -> ResultRow:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        raise DataError(
            f"{path}, row {number}: {tell_mistakes(error.errors())}; name a results file that a run or a sweep wrote."
        ) from None
