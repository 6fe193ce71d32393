"""Iris (Fisher 1936), the paper's third task: one module, a closed set of three answers."""

from typing import Any, Literal

import dspy

from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.task import Task


class Species(dspy.Signature):
    """Name the iris species from its measurements in cm: sepal length, sepal width, petal length, petal width."""

    flower: str = dspy.InputField()
    species: Literal["setosa", "versicolor", "virginica"] = dspy.OutputField()


def exact_match(example: Any, prediction: Any) -> bool:
    """Whether the species is the labelled one."""
    return bool(prediction.species == example.species)


def flowers() -> list[Row]:
    """The 150 flowers of scikit-learn's copy; measurements in one compact line, since tokens are dear."""
    from sklearn.datasets import load_iris

    iris = load_iris()
    rows = []
    for number, (values, label) in enumerate(zip(iris.data, iris.target, strict=True), start=1):
        measures = " ".join(f"{value:.1f}" for value in values)
        rows.append({"flower": measures, "species": str(iris.target_names[label]), "number": number})
    return rows


task = Task(
    name="iris",
    program=lambda: dspy.Predict(Species),
    metric=exact_match,
    inputs=("flower",),
    labels=("species",),
    data=flowers,
    stratify="species",
    adapter=LineAdapter,
    config={
        "rows": {"train": 40, "val": 35, "test": 74},  # 149: two flowers have the same measurements
        "decoding": {"closed": "scored", "calibration": "train"},
        "w": {"sft_prompt": "optimised"},
    },
    description="four measurements -> iris species; one module, closed answers, as in the paper",
)
