"""Rows that are not independent of each other: a group that should be set, and too few groups."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bt_core.records import Row, canonical_json
from bt_core.steps.check.report import Evidence, Finding
from bt_core.task import Task

#: With fewer groups than this in the test split, intervals are wide, and their coverage is less certain.
FEW_GROUPS = 20
#: The smallest share of all rows that have to share a value before a column is reported.
SHARED = 0.05
#: Characters of the shortest text that is content rather than a category, such as a country or a language.
TEXT = 40
#: A column that may be a key or a category, such as `topic_id`, has at least this many values where it is a key.
KEYS = 10
#: Things of which one has several rows.
THING = re.compile(
    "account|article|author|chat|client|conversation|customer|dialog|dialogue|doc|document|paragraph|passage|patient"
    "|person|session|speaker|thread|user"
)
#: Things too, but also names of categories.
AMBIGUOUS = re.compile("case|file|group|link|page|source|title|url")
#: Words that say by what a thing is told from others.
IDENTIFIER = re.compile("id|key|uuid|guid|hash|name|number|no|title|url")


def group_findings(evidence: Evidence) -> Iterator[Finding]:
    """Rows that share a text or a key although the task has no group, and groups that are too few."""
    task = evidence.task
    if task.group:
        yield from _few_groups(task, evidence.splits["test"])
        return
    distinct = {_inputs(row, task): row for rows in evidence.splits.values() for row in rows}
    rows = list(distinct.values())
    shared = {column: counts for column, counts in _columns(task, rows).items() if _is_shared(counts, len(rows))}
    if not shared:
        return
    # The column with the fewest values has the largest groups, so it leaves the least dependence between them.
    column = min(shared, key=lambda name: len(shared[name]))
    repeated = sum(count for count in shared[column].values() if count > 1)
    others = ", ".join(f"`{name}`" for name in shared if name != column)
    yield Finding(
        "warning",
        f"{repeated} of {len(rows)} rows share their `{column}` with another row ({len(shared[column])} different ones"
        f"{f'; rows share {others} too' if others else ''}), and no group is set: intervals would be too narrow, and"
        f' the splits would share it. Set `group="{column}"` in the Task, or `group: {column}` in its file.',
    )


def _few_groups(task: Task, test: Sequence[Row]) -> Iterator[Finding]:
    groups = {task.group_of(row) for row in test}
    if len(groups) < FEW_GROUPS:
        yield Finding(
            "warning",
            f"The {len(test)} test rows are of {len(groups)} groups (`{task.group}`), and intervals count groups, not"
            f" rows, as independent: they will be wide; bring rows of at least {FEW_GROUPS} groups.",
        )


def _columns(task: Task, rows: Sequence[Row]) -> dict[str, Counter[Any]]:
    """How often each value occurs in the columns that may name a group: texts among the inputs, and keys."""
    found: dict[str, Counter[Any]] = {}
    if len(task.inputs) > 1:
        for column in task.inputs:
            found[column] = Counter(
                row[column] for row in rows if isinstance(row[column], str) and len(row[column]) >= TEXT
            )
    known = {*task.inputs, *task.labels, task.stratify}
    for column in dict.fromkeys(name for row in rows for name in row if name not in known):
        least = _least_values(column)
        values = Counter(value for row in rows if _names_something(value := row.get(column)))
        if least and len(values) >= least and not _is_label(column, task, rows):
            found[column] = values
    return found


def _least_values(column: str) -> int:
    """How many values a column of this name has at least if it is a key; 0 if the name is not that of a key."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", column).lower())
    if not words:
        return 0
    last = words[-1]
    thing = words[-2] if IDENTIFIER.fullmatch(last) and len(words) > 1 else last
    if THING.fullmatch(thing):
        return 2
    return KEYS if AMBIGUOUS.fullmatch(thing) or last == "id" else 0


def _names_something(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _is_label(column: str, task: Task, rows: Sequence[Row]) -> bool:
    """Whether the column is another name of a label, such as its number: each value goes with one label."""
    for label in task.labels:
        pairs = {(canonical_json(row.get(column)), canonical_json(row[label])) for row in rows}
        if len(pairs) == len({value for value, _ in pairs}) == len({value for _, value in pairs}):
            return True
    return False


def _is_shared(counts: Mapping[Any, int], rows: int) -> bool:
    """Whether enough rows share a value, and not all of them the same one."""
    return len(counts) > 1 and sum(count for count in counts.values() if count > 1) >= SHARED * rows


def _inputs(row: Row, task: Task) -> str:
    return canonical_json({column: row[column] for column in task.inputs})
