"""Markdown for the notes that MLflow shows on top of a run."""

from collections.abc import Iterable, Mapping, Sequence

from bt_core.records import StageReport, Usage

#: MLflow's limit for a tag, and a note is a tag.
NOTE_LIMIT = 8000
_PAD = "\u00a0\u00a0"  # MLflow shows tables without space between the columns
_CUT = "\n\n*(cut; the whole note is the artifact `note.md`)*"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; floats get three decimals, None is a dash."""
    lines = [_line(map(_cell, header)), _line("---" for _ in header)]
    return "\n".join(lines + [_line(map(_cell, row)) for row in rows]) + "\n"


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Two columns, metric and value, in the order given."""
    return table(("metric", "value"), metrics.items())


def usage_table(usage: Usage) -> str:
    """A table of the engine's usage in one row; empty when it was not used."""
    if usage == Usage():
        return ""
    header = ("LM calls", "from cache", "prompt tokens", "computed", "completion tokens", "engine s")
    row = (usage.calls, usage.cached_calls, usage.prompt_tokens, usage.computed_prompt_tokens)
    return table(header, [(*row, usage.completion_tokens, f"{usage.seconds:.1f}")])


def stage_note(report: StageReport) -> str:
    """A stage's note: the text of its report, its warnings, and its usage."""
    warnings = "\n".join(f"- **Warning:** {warning}" for warning in report.warnings)
    return "\n\n".join(part.strip() for part in (report.note, warnings, usage_table(report.usage)) if part.strip())


def fit_note(note: str) -> str:
    """The note, cut to the length that MLflow takes."""
    return note if len(note) <= NOTE_LIMIT else note[: NOTE_LIMIT - len(_CUT)] + _CUT


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: object) -> str:
    if value is None:
        return "-" + _PAD
    text = f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split()).replace("|", "\\|")
    return text + _PAD
