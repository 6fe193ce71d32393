"""What is wrong with a task's metric and with its rows; no LM is needed to find it."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bt_core.lm.probe import AnswerSpace, judge
from bt_core.records import Row, canonical_json
from bt_core.steps.check.report import Evidence, Finding
from bt_core.task import Task
from bt_core.wording import counted

#: Rows on whose labels the metric is tried, and other labels that each of them is tried with.
JUDGED = 10
#: With fewer rows than this in a split, a score says little: that of 20 rows is known to about 0.2.
FEW_ROWS = 20


def metric_findings(evidence: Evidence) -> Iterator[Finding]:
    """Try the metric on right answers: it must accept them, and tell them from the answers of other rows."""
    task, train = evidence.task, evidence.splits["train"]
    rows = list(train)[:JUDGED] if task.labels else []
    space = AnswerSpace.of(task)
    try:
        best = [space.best(row) for row in rows]
        others = [(row, space.best(row).answer) for row in _with_distinct_labels(train, task)] if rows else []
        right = [found.score for found in best]
        wrong = [judge(task, row, answer) for row in rows for other, answer in others if _differ(row, other, task)]
    except (AttributeError, KeyError) as error:
        names = ", ".join(f"`{name}`" for name in task.labels)
        reason = str(error).strip("\"'")
        yield Finding("warning", f"The metric could not be tried on the labels {names} as an answer ({reason}).")
    except Exception as error:  # a metric may raise anything
        yield Finding("mistake", f"The metric raises on a row's own labels ({type(error).__name__}: {error}).")
    else:
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
        if contradicting := _contradicting(rows, keys, evidence.task):
            yield Finding(
                "warning",
                f"{counted(contradicting, 'input')} of {name} have several answers when case, spaces and punctuation"
                " are ignored: a program can hardly be right on all of these rows.",
            )
    shared = [(key, names) for key, names in splits_of.items() if len(names) > 1]
    if shared:
        key, names = shared[0]
        yield Finding(
            "warning",
            f"{len(shared)} examples are in two splits when case, spaces and punctuation are ignored, the first in"
            f" {' and '.join(sorted(names))} ({key[:60]!r}): test scores would be too high.",
        )


def _contradicting(rows: Sequence[Row], keys: Sequence[str], task: Task) -> int:
    """How many inputs that differ in writing alone have several answers; equal ones are named when they are read."""
    written: dict[str, set[str]] = defaultdict(set)
    answers: dict[str, set[str]] = defaultdict(set)
    for row, key in zip(rows, keys, strict=True):
        written[key].add(canonical_json([row[column] for column in task.inputs]))
        answers[key].add(canonical_json([row[column] for column in task.labels]))
    return sum(len(answers[key]) > 1 and len(written[key]) > 1 for key in answers)


def size_findings(evidence: Evidence) -> Iterator[Finding]:
    """Splits with so few rows that they choose or show little."""
    rows = {name: len(split) for name, split in evidence.splits.items()}
    least = evidence.config.w.min_traces
    if rows["train"] < least:
        yield Finding(
            "warning",
            f"Train has {counted(rows['train'], 'row')}, and `w` needs {least} traces that pass (`w.min_traces`): it"
            " would leave the weights as they are; give more with --train-rows.",
        )
    if rows["val"] < FEW_ROWS:
        yield Finding(
            "warning",
            f"Val has {counted(rows['val'], 'row')}, so that one row is {1 / rows['val']:.2f} of a score: steps would"
            f" choose between programs mostly by chance; give at least {FEW_ROWS} (--val-rows).",
        )
    if rows["test"] < FEW_ROWS and not evidence.task.group:
        yield Finding(
            "warning",
            f"Test has {counted(rows['test'], 'row')}, whose mean score is known only to about"
            f" {_margin(rows['test']):.2f}: hardly any gain could be shown; give at least {FEW_ROWS} (--test-rows).",
        )


def _margin(rows: int) -> float:
    """Half the width of the usual 95% interval of a share of one half, z * sqrt(p * (1 - p) / n)."""
    return float(1.96 * 0.5 / rows**0.5)


def _with_distinct_labels(rows: Sequence[Row], task: Task) -> list[Row]:
    """The first row of each of the first labels."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(canonical_json([row[column] for column in task.labels]), row)
    return list(first.values())[: JUDGED + 1]


def _differ(row: Row, other: Row, task: Task) -> bool:
    """Whether no label of the two rows is equal."""
    return all(other[column] != row[column] for column in task.labels)


def _normalised(row: Mapping[str, Any], task: Task) -> str:
    text = " | ".join(str(row[column]) for column in task.inputs)
    return " ".join(re.sub(r"[.,;:!?'\"]", " ", text.casefold()).split())
