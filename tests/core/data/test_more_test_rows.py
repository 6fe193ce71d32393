"""A larger test split keeps the rows that a smaller one had: the second look of a sweep adds rows and changes none."""

from collections.abc import Callable
from typing import Any

import pytest

from bt_core.config import Rows
from bt_core.data import Source, Splits, load_splits
from bt_core.records import Row, canonical_json
from bt_core.task import Task
from tests.core.toy import TwoStep

ROWS: list[Row] = [
    {"thing": f"thing {number}", "colour": ("red", "green", "blue")[number % 7 % 3]} for number in range(90)
]
SOURCES: dict[str, Callable[[], Source]] = {
    "rows": lambda: ROWS,
    "train and test": lambda: {"train": ROWS[:40], "test": ROWS[40:]},
    "three splits": lambda: {"train": ROWS[:20], "val": ROWS[20:40], "test": ROWS[40:]},
}


def _splits(source: Callable[[], Any], stratify: str, test: int) -> Splits:
    task = Task(
        name="more",
        program=TwoStep,
        data=source,
        inputs=("thing",),
        labels=("colour",),
        stratify=stratify,
        metric=_equal,
    )
    return load_splits(task, "", Rows(train=12, val=8, test=test), seed=3)


def _equal(example: Any, prediction: Any) -> bool:
    return bool(example.colour == prediction.colour)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stratify", ["", "colour"])
def test_only_the_test_split_grows(source: str, stratify: str) -> None:
    few, many = (_splits(SOURCES[source], stratify, test) for test in (10, 35))
    assert (few["train"], few["val"]) == (many["train"], many["val"])
    before, after = ({canonical_json(row) for row in splits["test"]} for splits in (few, many))
    assert before < after
    assert len(after) == 35
