"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168), the paper's second task: one module that reasons and gives a number."""

from collections.abc import Mapping
from typing import Any, Literal

import dspy
from pydantic import Field

from bt_core.metrics import gsm8k_first_line, gsm8k_official, numeric
from bt_core.records import Row
from bt_core.task import Task, TaskFactory
from bt_tasks.support.prompting import Prompting, module_of

HUB_DATA = "hub:openai/gsm8k:main"
METRICS = {"last_number": numeric, "first_line": gsm8k_first_line, "official": gsm8k_official}


class Gsm8kSettings(Prompting):
    """Settings of the task `gsm8k`."""

    metric: Literal["last_number", "first_line", "official"] = Field(
        "last_number",
        description="last number of the answer, or of its first line as in the paper, or the number after `####`",
    )


class Solve(dspy.Module):
    """Reasons, then answers: in a field of its own with the paper's prompts, else in one text that ends in the number.

    A small model seldom keeps to two fields, and an answer that does not is lost.
    """

    def __init__(self, settings: Gsm8kSettings) -> None:
        super().__init__()
        short = "Solve the problem step by step. End with the number that answers it."
        self.solve = module_of("question -> answer", "" if settings.is_paper else short, settings.is_paper)

    def forward(self, question: str) -> Any:
        return self.solve(question=question)


def problems() -> Mapping[str, list[Row]]:
    """The rows of the official splits; `answer` is the worked solution with the number after `####`."""
    from bt_core.data import read_source

    splits = read_source(HUB_DATA)
    assert isinstance(splits, dict), "a data set on the hub has splits"
    return splits


def make(settings: Gsm8kSettings) -> Task:
    """Make the task of its settings."""
    return Task(
        name="gsm8k",
        program=lambda: Solve(settings),
        metric=METRICS[settings.metric]("answer"),
        inputs=("question",),
        labels=("answer",),
        data=problems,
        adapter=settings.adapter,
        config={} if settings.is_paper else {"decoding": {"max_tokens": 200}},
        description="grade-school word problems; one module that reasons, the answer is a number",
    )


task = TaskFactory(Gsm8kSettings, make)
