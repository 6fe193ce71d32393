"""Read the report of a stage, as `bt_core.records.dump_report` wrote it."""

from typing import Any

from bt_core.errors import DataError
from bt_core.formats.document import Amount, Count, Part, Score, Unreadable, load
from bt_core.records import StageReport, Usage


class UsageLine(Part):
    """What was asked of an engine (`bt_core.records.Usage`)."""

    calls: Count
    cached_calls: Count
    prompt_tokens: Count
    computed_prompt_tokens: Count
    completion_tokens: Count
    seconds: Amount


class ReportLine(Part):
    """A whole report (`bt_core.records.StageReport`)."""

    stage: str
    kind: str
    params: dict[str, Any]
    metrics: dict[str, float]
    series: dict[str, tuple[tuple[int, float], ...]]
    note: str
    warnings: tuple[str, ...]
    usage: UsageLine
    started: float
    ended: float
    scores: tuple[Score, ...]


def load_report(text: str) -> StageReport:
    """Read a report.

    Raises:
        DataError: when the text is no report, or one of another release; says which keys are wrong.
    """
    try:
        line = load(ReportLine, text)
    except Unreadable as error:
        raise DataError(f"the text is no report: {error}") from None
    series = {name: list(points) for name, points in line.series.items()}
    return StageReport(**dict(line) | {"series": series, "usage": Usage(**dict(line.usage))})
