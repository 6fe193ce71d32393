"""A task whose score the data decide: where the program has demonstrations, it answers what most of them answer."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import dspy

from bt_core.config import Config, Rows, resolve_config
from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.steps.retrain.row_roles import TEST, Ledger, row_digest
from bt_core.task import Task

SHARES = Rows(train=8, val=6, test=12)
SETTINGS = {
    "rows": SHARES.model_dump(),
    "engine": {"device": "cpu"},
    "decoding": {"calibration": "train"},  # so that the random model says both
    "p": {"candidates": 1, "max_demos": 1},
    "retrain": {"min_new": 20, "min_test": 8, "start": "scratch"},
}


class Paint(dspy.Signature):
    """Name the colour of the thing."""

    thing: str = dspy.InputField()
    colour: Literal["red", "green"] = dspy.OutputField()


class Vote(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.paint = dspy.Predict(Paint)

    def forward(self, thing: str) -> Any:
        answer = self.paint(thing=thing)
        seen = Counter(demo.colour for demo in self.paint.demos)
        return dspy.Prediction(colour=seen.most_common(1)[0][0] if seen else answer.colour)


def batch(name: str, count: int, learnt: str, sealed: str) -> list[Row]:
    """Rows that no other batch has; `learnt` is the label of those that may be learnt from."""
    rows = [{"thing": f"{name} thing {number}"} for number in range(count)]
    return [row | {"colour": sealed if is_sealed(row) else learnt} for row in rows]


def is_sealed(row: Row) -> bool:
    """Whether a row that no run has seen becomes a test row."""
    return Ledger().role(row_digest(row, ("thing",)), SHARES) == TEST


task = Task(
    name="vote",
    program=Vote,
    metric=lambda example, prediction: prediction.colour == example.colour,
    inputs=("thing",),
    labels=("colour",),
    adapter=LineAdapter,
    config=SETTINGS,
)


def config(model: Path | str, **settings: Any) -> Config:
    """The task's settings with a model."""
    return resolve_config(SETTINGS, {"task": "tests.retrain.toy:task", "model": str(model)}, settings)
