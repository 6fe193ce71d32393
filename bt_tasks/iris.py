"""Iris (Fisher 1936), the paper's third task: one module, three species.

With the paper's prompts, the LM sees all four measurements and answers in free text after reasoning. With the short
prompts, it sees only the petal, and the answer is closed.
"""

from typing import Any, Literal

import dspy

from bt_core.metrics import label_accuracy
from bt_core.records import Row
from bt_core.task import Task, TaskFactory
from bt_tasks.support.prompting import Prompting


class Species(dspy.Signature):
    """Name the iris species."""

    petal: str = dspy.InputField()
    species: Literal["setosa", "versicolor", "virginica"] = dspy.OutputField()


class Measured(dspy.Signature):
    """Given the petal and sepal dimensions in cm, predict the iris species."""

    petal_length: str = dspy.InputField()
    petal_width: str = dspy.InputField()
    sepal_length: str = dspy.InputField()
    sepal_width: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="setosa, versicolor, or virginica")


class Identify(dspy.Module):
    """Shows the LM the petal alone: with four numbers in the prompt the embedded model stays near chance."""

    def __init__(self) -> None:
        super().__init__()
        self.species = dspy.Predict(Species)

    def forward(self, sepal: str, petal: str) -> Any:
        return self.species(petal=petal)


class Reason(dspy.Module):
    """The paper's program."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.ChainOfThought(Measured)

    def forward(self, sepal: str, petal: str) -> Any:
        sizes = {**_centimetres("petal", petal), **_centimetres("sepal", sepal)}
        return dspy.Prediction(species=self.classify(**sizes).answer)


def _centimetres(part: str, size: str) -> dict[str, str]:
    """`14 x 2 mm` as `petal_length` 1.4 and `petal_width` 0.2."""
    length, width = (f"{int(number) / 10:.1f}" for number in size.removesuffix(" mm").split(" x "))
    return {f"{part}_length": length, f"{part}_width": width}


def flowers() -> list[Row]:
    """The 150 flowers as scikit-learn has them, length x width in mm; two of them have the same measurements."""
    from sklearn.datasets import load_iris

    iris = load_iris()
    rows = []
    for values, label in zip(iris.data, iris.target, strict=True):
        sizes = [round(10 * value) for value in values]
        sepal, petal = (f"{length} x {width} mm" for length, width in (sizes[:2], sizes[2:]))
        rows.append({"sepal": sepal, "petal": petal, "species": str(iris.target_names[label])})
    return rows


SHORT = {
    "rows": {"train": 40, "val": 35, "test": 74},
    "decoding": {"closed": "scored", "calibration": "train"},
    "w": {"sft_prompt": "optimised"},
}


def make(settings: Prompting) -> Task:
    """Make the task of its settings."""
    return Task(
        name="iris",
        program=Reason if settings.is_paper else Identify,
        metric=label_accuracy("species"),
        inputs=("sepal", "petal"),
        labels=("species",),
        data=flowers,
        stratify="species",
        adapter=settings.adapter,
        config={} if settings.is_paper else SHORT,
        description="petal size -> iris species; one module, closed answers",
    )


task = TaskFactory(Prompting, make)
