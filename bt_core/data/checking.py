"""Whether rows can be used: every column is there, filled, and JSON; and whether some of them contradict each other."""

from collections import defaultdict
from collections.abc import Sequence

from bt_core.data.cells import is_json
from bt_core.data.notes import note
from bt_core.errors import DataError
from bt_core.records import Row, canonical_json
from bt_core.task import Task
from bt_core.wording import counted


def check_rows(task: Task, rows: Sequence[Row], source: str) -> None:
    """Refuse rows that lack a column of the task, or hold what a split's file cannot hold.

    Raises:
        DataError: names the row and the column.
    """
    needed = dict.fromkeys([*task.inputs, *task.labels, *filter(None, (task.stratify, task.group))])
    for number, row in enumerate(rows, start=1):
        missing = [column for column in needed if column not in row]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column `{'`, `'.join(missing)}` (it has {has}); task `{task.name}` needs"
                f" {', '.join(needed)}."
            )
        empty = [column for column in needed if row[column] is None]
        if empty:
            raise DataError(
                f"{source}, row {number}: `{'`, `'.join(empty)}` is empty, but task `{task.name}` needs"
                f" {', '.join(needed)}: fill it in, or leave out the row."
            )
    check_json(rows, source)


def check_json(rows: Sequence[Row], source: str) -> None:
    """Refuse rows that no file of ours can hold: with dates, bytes, NaN, infinities, or half a surrogate pair.

    Raises:
        DataError: names the row and its columns.
    """
    for number, row in enumerate(rows, start=1):
        foreign = [f"`{column}` holds {value!r:.40}" for column, value in row.items() if not is_json(value)]
        if foreign:
            raise DataError(
                f"{source}, row {number}: {', '.join(foreign)}, which is no JSON: correct or drop the column."
            )


def note_contradictions(task: Task, rows: Sequence[Row], source: str) -> None:
    """Name the inputs that rows give with several answers: a program can be right on one of them at most."""
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(rows, start=1):
        inputs, labels = (canonical_json({name: row[name] for name in names}) for names in (task.inputs, task.labels))
        numbers[inputs].setdefault(labels, number)
    several = [list(answers.values()) for answers in numbers.values() if len(answers) > 1]
    if several:
        first, second, *_ = several[0]
        note(
            f"{source} has {counted(len(several), 'input')} with more than one answer, the first in rows {first} and"
            f" {second}: all of these rows are kept, in one split."
        )
