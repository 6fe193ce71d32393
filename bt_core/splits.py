"""Divide rows into splits, so that no example and no group of rows is in two of them."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from bt_core.errors import DataError
from bt_core.records import Row, canonical_json
from bt_core.task import Task

Item = TypeVar("Item")


def divide(task: Task, rows: list[Row], sizes: Mapping[str, int], seed: int, source: str) -> dict[str, list[Row]]:
    """Splits of these sizes. An example, and a group of them, is in one split at most.

    A row that is there twice counts once. Rows that give one input several answers stay together, as a group does.

    Groups are taken in an order that depends on the seed alone, for one split after the other. The last group of a
    split is cut to the split's size, and its other rows are not used. A larger size of the last split therefore only
    adds rows.

    Args:
        task: names the inputs, the classes and the groups.
        rows: the rows to divide.
        sizes: name of a split -> its rows, in the order in which splits are filled.
        seed: seed of the order.
        source: where the rows come from, for the error.

    Raises:
        DataError: when there are too few rows or groups.
    """
    columns = (*task.inputs, *task.labels)
    unique = list({canonical_json({c: row[c] for c in columns}): row for row in reversed(rows)}.values())[::-1]
    require_rows(len(unique), sum(sizes.values()), f"{source} (duplicates aside)")
    ordered = _interleaved(shuffled(_grouped(task, unique), seed, "split"), task.stratify)
    splits, rest = {}, iter(ordered)
    for name, size in sizes.items():
        taken: list[Row] = []
        while len(taken) < size:
            group = next(rest, None)
            if group is None:
                raise DataError(
                    f"{source} has {len(unique)} rows in {len(ordered)} groups (`{task.group}`), and no group may be in"
                    f" two splits: only {len(taken)} rows are left for {name}, but {size} were asked for; lower `rows`"
                    " or bring more groups."
                )
            taken += group
        splits[name] = shuffled(taken[:size], seed, name)
    return splits


def check_disjoint(task: Task, splits: Mapping[str, Sequence[Row]]) -> None:
    """Refuse splits that share an example, that is a row with the same inputs, whatever its label, or a group."""
    seen: dict[str, tuple[str, int]] = {}
    groups: dict[str, tuple[str, int]] = {}
    for name, rows in splits.items():
        for number, row in enumerate(rows, start=1):
            key = canonical_json({column: row[column] for column in task.inputs})
            other, line = seen.setdefault(key, (name, number))
            if other != name:
                raise DataError(
                    f"The same example is in {other} (row {line}) and in {name} (row {number}):"
                    f" {_shown(row, task)}; remove it from one of them."
                )
            group = task.group_of(row)
            if group is None:
                continue
            other, line = groups.setdefault(group, (name, number))
            if other != name:
                raise DataError(
                    f"The group {group[:40]!r} (`{task.group}`) is in {other} (row {line}) and in {name} (row"
                    f" {number}), and rows of one group are not independent: move it into one of them."
                )


def require_rows(have: int, want: int, source: str) -> None:
    """Refuse a source with fewer rows than were asked for."""
    if have < want:
        raise DataError(f"{source} has {have} rows, but {want} were asked for: lower `rows` or bring more.")


def shuffled(items: Sequence[Item], seed: int, what: str) -> list[Item]:
    """The items in an order that depends on the seed and on what they are shuffled for."""
    order = list(items)
    random.Random(f"{seed}:{what}").shuffle(order)
    return order


def _grouped(task: Task, rows: Sequence[Row]) -> list[list[Row]]:
    """The rows that must not be divided: those of one group, and those with the same inputs."""
    units: list[list[Row]] = []
    unit_of: dict[str, list[Row]] = {}  # a group, or inputs
    for row in rows:
        inputs = canonical_json({column: row[column] for column in task.inputs})
        keys = [f"group {task.group_of(row)}", inputs] if task.group else [inputs]
        found = [unit_of[key] for key in keys if key in unit_of]
        unit = found[0] if found else []
        for other in found[1:]:
            if other is not unit:  # one input in two groups: both are one unit from here on
                unit += other
                unit_of |= {key: unit for key, one in unit_of.items() if one is other}
                units.remove(other)
        if not found:
            units.append(unit)
        unit.append(row)
        unit_of |= dict.fromkeys(keys, unit)
    return units


def _interleaved(groups: list[list[Row]], column: str) -> list[list[Row]]:
    """Groups in an order in which any stretch holds every class in proportion to its rows.

    A group counts to the class that most of its rows have.
    """
    if not column:
        return groups
    classes: dict[str, list[list[Row]]] = defaultdict(list)
    for group in groups:
        values = Counter(str(row[column]) for row in group)
        classes[max(values, key=lambda value: (values[value], value))].append(group)
    placed = []
    for name, members in classes.items():
        before, total = 0, sum(map(len, members))
        for group in members:
            placed.append(((before + len(group) / 2) / total, name, group))
            before += len(group)
    return [group for _, _, group in sorted(placed, key=lambda item: item[:2])]


def _shown(row: Row, task: Task) -> str:
    return ", ".join(f"{column}={str(row[column])[:40]!r}" for column in task.inputs)
