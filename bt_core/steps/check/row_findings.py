"""What is wrong with a task's metric, labels and rows; no LM is needed to find it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bt_core.lm.probe import closed_fields, judge
from bt_core.records import Row
from bt_core.steps.check.report import Evidence, Finding
from bt_core.task import Task

#: Rows on whose labels the metric is tried.
JUDGED = 10


def metric_findings(evidence: Evidence) -> Iterator[Finding]:
    """Try the metric on the labels themselves: it must accept them, and tell them from wrong ones."""
    task, train = evidence.task, evidence.splits["train"]
    rows = list(train)[:JUDGED] if task.labels else []
    right, wrong = [], []
    for row in rows:
        other = _row_with_other_labels(row, train, task)
        try:
            right.append(judge(task, row, _labels(row, task)))
            wrong += [judge(task, row, _labels(other, task))] if other else []
        except (AttributeError, KeyError) as error:
            names = ", ".join(f"`{name}`" for name in task.labels)
            reason = str(error).strip("\"'")
            yield Finding("warning", f"The metric could not be tried on the labels {names} as an answer ({reason}).")
            return
        except Exception as error:  # a metric may raise anything
            yield Finding("mistake", f"The metric raises on a row's own labels ({type(error).__name__}: {error}).")
            return
    yield from _score_findings(right, wrong, evidence.config.bootstrap.threshold)


def _score_findings(right: Sequence[float], wrong: Sequence[float], threshold: float) -> Iterator[Finding]:
    """What the metric's scores of right and of wrong labels show."""
    if not right:
        return
    if wrong and min(wrong) == max(wrong) == 1.0:
        yield Finding("mistake", "The metric is 1 whatever the answer: it gives 1 to the labels of other rows too.")
    elif max(right) == 0.0:
        yield Finding("mistake", "The metric is 0 even for the rows' own labels: no answer can ever score.")
    elif max(right) < threshold:
        yield Finding(
            "mistake",
            f"The metric gives the rows' own labels {max(right):g} at most, less than `bootstrap.threshold`"
            f" ({threshold:g}): no trace could be kept.",
        )
    elif min(right) < threshold:
        count = sum(score < threshold for score in right)
        yield Finding("warning", f"The metric gives {count} of {len(right)} rows' own labels less than {threshold:g}.")
    elif wrong and sum(wrong) / len(wrong) >= 0.5:
        yield Finding(
            "warning", f"The metric gives wrong labels {sum(wrong) / len(wrong):.2f} on average: is that intended?"
        )


def label_findings(evidence: Evidence) -> Iterator[Finding]:
    """Labels that a closed answer can never equal, and labels that never change."""
    rows = [row for name in ("train", "val") for row in evidence.splits[name]]
    closed = closed_fields(evidence.task)
    for column in evidence.task.labels:
        values = [row[column] for row in rows]
        unreachable = Counter(repr(value) for value in values if column in closed and value not in closed[column])
        if unreachable:
            examples = ", ".join(value for value, _ in unreachable.most_common(3))
            options = ", ".join(map(repr, closed[column][:8]))
            yield Finding(
                "mistake",
                f"{sum(unreachable.values())} of {len(values)} labels in `{column}` are not among the options of the"
                f" field of that name ({examples}; the options are {options}): such a row can never be right.",
            )
        if len(values) > 1 and len({repr(value) for value in values}) == 1:
            yield Finding("warning", f"Every row has the same label in `{column}`: {values[0]!r}.")


def data_findings(evidence: Evidence) -> Iterator[Finding]:
    """What was read otherwise than the user may expect, such as files that were left unread."""
    for sentence in evidence.notes:
        yield Finding("warning", sentence)


def split_findings(evidence: Evidence) -> Iterator[Finding]:
    """Inputs that occur twice in a split, or in two splits when case, spaces and punctuation are ignored."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for name, rows in evidence.splits.items():
        keys = [_normalised(row, evidence.task) for row in rows]
        if len(set(keys)) < len(keys):
            yield Finding(
                "warning", f"{len(keys) - len(set(keys))} rows of {name} have the inputs of another of its rows."
            )
        for key in keys:
            splits_of[key].add(name)
    shared = [(key, names) for key, names in splits_of.items() if len(names) > 1]
    if shared:
        key, names = shared[0]
        yield Finding(
            "warning",
            f"{len(shared)} examples are in two splits when case, spaces and punctuation are ignored, the first in"
            f" {' and '.join(sorted(names))} ({key[:60]!r}): test scores would be too high.",
        )


def _labels(row: Row, task: Task) -> dict[str, Any]:
    return {column: row[column] for column in task.labels}


def _row_with_other_labels(row: Row, rows: Sequence[Row], task: Task) -> Row | None:
    """A row of which no label equals that of `row`."""
    return next((other for other in rows if all(other[column] != row[column] for column in task.labels)), None)


def _normalised(row: Mapping[str, Any], task: Task) -> str:
    text = " | ".join(str(row[column]) for column in task.inputs)
    return " ".join(re.sub(r"[.,;:!?'\"]", " ", text.casefold()).split())
