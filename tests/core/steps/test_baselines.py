"""What one answer to every row scores, by the metric itself."""

from dataclasses import replace
from typing import Any

import pytest

from bt_core.metrics import label_accuracy
from bt_core.records import Row
from bt_core.steps.trace_summary import MAJORITY, SINGLE, baselines, best_single, majority
from bt_core.task import Task
from tests.core import toy

TRAIN: list[Row] = [{"thing": f"t{n}", "colour": "Red" if n < 6 else "blue"} for n in range(10)]
TEST: list[Row] = [{"thing": f"u{n}", "colour": ("blue", "blue", "blue", "RED", "green")[n % 5]} for n in range(10)]


@pytest.fixture
def task() -> Task:
    return replace(toy.task, metric=label_accuracy("colour"), stratify="")


def test_the_majority_of_train_and_the_best_answer_to_the_test_rows(task: Task) -> None:
    frequent, best = majority(task, TRAIN, TEST), best_single(task, TEST)
    assert frequent is not None
    assert best is not None
    assert (frequent.label, frequent.score) == ("Red", 0.2)
    assert (best.label, best.score) == ("blue", 0.6)
    assert baselines(task, TRAIN, TEST) == {MAJORITY: 0.2, SINGLE: 0.6}


def test_an_answer_is_one_that_the_program_can_give(task: Task) -> None:
    def by_first_letter(example: Any, prediction: Any) -> bool:
        return bool(prediction.colour in toy.Colour.__args__ and prediction.colour[0] == example.colour[0].lower())

    frequent = majority(replace(task, metric=by_first_letter), TRAIN, TEST)
    assert frequent is not None
    assert (frequent.answer, frequent.score) == ({"colour": "red"}, 0.2)


def test_there_is_none_for_free_answers_and_untried_metrics(task: Task) -> None:
    free = [{**row, "answer": f"answer {number}"} for number, row in enumerate(TRAIN)]
    assert baselines(replace(task, labels=("answer",)), free, free) == {}
    assert baselines(replace(task, metric=lambda example, prediction: prediction.other), TRAIN, TEST) == {}
    assert baselines(replace(task, labels=()), TRAIN, TEST) == {}
