"""Iris (Fisher 1936), the paper's third task: one module, a closed set of three answers."""

from typing import Any, Literal

import dspy

from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.task import Task


class Species(dspy.Signature):
    """Name the iris species."""

    petal: str = dspy.InputField()
    species: Literal["setosa", "versicolor", "virginica"] = dspy.OutputField()


def exact_match(example: Any, prediction: Any) -> bool:
    """Whether the species is the labelled one."""
    return bool(prediction.species == example.species)


class Identify(dspy.Module):
    """Shows the LM the petal alone: with four numbers in the prompt the embedded model stays near chance."""

    def __init__(self) -> None:
        super().__init__()
        self.species = dspy.Predict(Species)

    def forward(self, sepal: str, petal: str) -> Any:
        return self.species(petal=petal)


def flowers() -> list[Row]:
    """scikit-learn's copy of the 150 flowers, length x width in mm; two of them have the same measurements."""
    from sklearn.datasets import load_iris

    iris = load_iris()
    rows = []
    for values, label in zip(iris.data, iris.target, strict=True):
        sizes = [round(10 * value) for value in values]
        sepal, petal = (f"{length} x {width} mm" for length, width in (sizes[:2], sizes[2:]))
        rows.append({"sepal": sepal, "petal": petal, "species": str(iris.target_names[label])})
    return rows


task = Task(
    name="iris",
    program=Identify,
    metric=exact_match,
    inputs=("sepal", "petal"),
    labels=("species",),
    data=flowers,
    stratify="species",
    adapter=LineAdapter,
    config={
        "rows": {"train": 40, "val": 35, "test": 74},
        "decoding": {"closed": "scored", "calibration": "train"},
        "w": {"sft_prompt": "optimised"},
    },
    description="petal size -> iris species; one module, closed answers, as in the paper",
)
