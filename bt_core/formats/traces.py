"""Read a file of traces, which a stage wrote or which was made elsewhere."""

from pathlib import Path
from typing import Any

from pydantic import Field

from bt_core.errors import DataError
from bt_core.formats.document import Count, Part, Score, Unreadable, load
from bt_core.records import Call, Trace, read_lines


class CallLine(Part):
    """One call of a predictor."""

    predictor: str = Field(description="its name in the program")
    inputs: dict[str, Any] = Field(description="field -> value")
    outputs: dict[str, Any] = Field(description="field -> value")
    label_logprobs: dict[str, float] | None = Field(
        None, description="natural logarithm of each closed answer's probability; null for a free answer"
    )


class TraceLine(Part):
    """One run of a program on one example."""

    example: str = Field(description="name of the example")
    score: Score = Field(description="the metric")
    calls: tuple[CallLine, ...] = Field((), description="the predictors' calls in order")
    prediction: dict[str, Any] = Field({}, description="what the program returned")
    error: str | None = Field(None, description="why the run failed")
    attempt: Count = Field(0, description="0: decoded as configured; later ones were sampled")
    model: str = Field("", description="the base model that made it; empty: not recorded")
    feedback: dict[str, str] = Field(
        {}, description="what the metric said: predictor -> text; under the empty name, on the program's whole result"
    )


def read_traces(path: Path) -> list[Trace]:
    """Read a JSONL file of traces.

    Raises:
        DataError: when the file is missing or a line is not a trace; names the row.
    """
    return [_trace(path, number, line) for number, (_, line) in enumerate(read_lines(path), start=1)]


def _trace(path: Path, number: int, text: str) -> Trace:
    try:
        line = load(TraceLine, text)
    except Unreadable as error:
        raise DataError(f"{path}, row {number}: not a trace ({error}); see docs/formats.md.") from None
    return Trace(**dict(line) | {"calls": tuple(Call(**dict(call)) for call in line.calls)})
