"""What is wrong with the labels of the rows: no answer can equal them, they never change, or train lacks some."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bt_core.lm.probe import closed_fields, judge
from bt_core.records import Row
from bt_core.steps.check.report import Evidence, Finding
from bt_core.steps.trace_summary import class_columns, majority
from bt_core.task import Task

#: How many labels or options a sentence names.
NAMED = 3
#: How many different labels that are no option are tried with every option.
TRIED = 20


def label_findings(evidence: Evidence) -> Iterator[Finding]:
    """Labels that no answer can score on, that never change, or that train lacks; and what one answer would score."""
    rows = [row for split in evidence.splits.values() for row in split]
    closed = closed_fields(evidence.task)
    for column in evidence.task.labels:
        if column in closed and not _is_made_of(column, closed[column], evidence):
            yield from _unreachable(column, closed[column], rows, evidence.task)
        if len(rows) > 1 and len({repr(row[column]) for row in rows}) == 1:
            yield Finding("warning", f"Every row has the same label in `{column}`: {rows[0][column]!r}.")
    yield from _not_in_train(evidence, rows)
    yield from _majority(evidence)


def _is_made_of(column: str, options: Sequence[Any], evidence: Evidence) -> bool:
    """Whether the program makes its prediction of the closed answer, as the rows that were run show."""
    given = (run.trace.prediction.get(column) for run in evidence.runs)
    return any(value is not None and value not in options for value in given)


def _unreachable(column: str, options: Sequence[Any], rows: Sequence[Row], task: Task) -> Iterator[Finding]:
    """Labels that are no option, and on whose rows the metric gives every option 0."""
    strange = [row for row in rows if row[column] not in options]
    first: dict[str, Row] = {}
    for row in strange:
        first.setdefault(repr(row[column]), row)
    scores = {label: _best_option(column, options, row, task) for label, row in list(first.items())[:TRIED]}
    never = {label for label, score in scores.items() if score == 0.0}
    unsure = {label for label, score in scores.items() if score is None}
    for labels, severity, end in (
        (never, "mistake", "such a row can never be right"),
        (
            unsure,
            "warning",
            "such a row is right only where the metric accepts an option, and it could not be tried",
        ),
    ):
        counts = Counter(label for row in strange if (label := repr(row[column])) in labels)
        if counts:
            named = ", ".join(label for label, _ in counts.most_common(NAMED))
            yield Finding(
                severity,
                f"{counts.total()} of {len(rows)} labels in `{column}` are not among the options of the field of that"
                f" name ({named}; the options are {', '.join(map(repr, options[:8]))}): {end}.",
            )


def _best_option(column: str, options: Sequence[Any], row: Row, task: Task) -> float | None:
    """The highest score of an option on the row; None where the metric cannot be tried on any."""
    best = None
    labels = {name: row[name] for name in task.labels}
    for option in options:
        try:
            score = judge(task, row, labels | {column: option})
        except Exception:  # a metric may raise anything
            continue
        best = score if best is None else max(best, score)
        if best == 1.0:
            break
    return best


def _not_in_train(evidence: Evidence, rows: Sequence[Row]) -> Iterator[Finding]:
    """Classes of the other splits that no row of train has."""
    for column, counts in class_columns(evidence.task, rows).items():
        learnt = {_bare(row[column]) for row in evidence.splits["train"]}
        missing = [label for label in counts if _bare(label) not in learnt]
        if missing:
            named = ", ".join(map(repr, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
            stratified = "" if evidence.task.stratify == column else ", or set `stratify`"
            yield Finding(
                "warning",
                f"No row of train has {len(missing)} of the {len(counts)} labels in `{column}` ({named}): no demo and"
                f" no trace can show them; give more rows with --train-rows{stratified}.",
            )


def _majority(evidence: Evidence) -> Iterator[Finding]:
    """What the most frequent answer of train scores on the validation rows."""
    val = evidence.splits["val"]
    found = majority(evidence.task, evidence.splits["train"], val)
    if found:
        yield Finding(
            "note",
            f"Always answering {found.label!r}, the most frequent label of train, scores {found.score:.3f} on the"
            f" {len(val)} validation rows by the metric: a program has to score more than that to be of use.",
        )


def _bare(label: Any) -> str:
    return str(label).strip().casefold()
