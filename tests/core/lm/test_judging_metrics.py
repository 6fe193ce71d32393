"""Metrics that ask an LM: they ask the user's own, never the one that is optimised."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dspy
import pytest

from bt_core.errors import TaskError
from tests.core.lm.wild_programs import Chain, by_seed
from tests.core.scripted import Wild

ASSESS = dspy.Predict("question, answer -> verdict")


@dataclass
class Judge:
    """An LM of the user's own, for dspy.settings: it answers every call with yes."""

    asked: list[str] = field(default_factory=list)

    def lm(self) -> Any:
        judge = self

        class Model(dspy.LM):
            def forward(self, *arguments: Any, **settings: Any) -> Any:
                raise AssertionError("never the plain way")

            def __call__(self, *arguments: Any, **settings: Any) -> list[str]:
                judge.asked.append(self.model)
                return ["[[ ## verdict ## ]]\nyes\n\n[[ ## completed ## ]]"]

        return Model("judge/big", cache=False)


def _metric(example: Any, prediction: Any) -> float:
    return float(ASSESS(question=example.question, answer=prediction.answer).verdict == "yes")


def _in_context(judge: Judge) -> Any:
    def metric(example: Any, prediction: Any) -> float:
        with dspy.context(lm=judge.lm()):
            return _metric(example, prediction)

    return metric


@pytest.fixture
def judge() -> Iterator[Judge]:
    """The LM that a task's module has configured, as `dspy.configure` does for all threads."""
    judge = Judge()
    dspy.configure(lm=judge.lm())
    yield judge
    dspy.configure(lm=None)


def test_a_judge_is_the_users_own_lm(judge: Judge) -> None:
    wild = Wild(Chain, by_seed, metric=_metric)
    traces = wild.run({"question": "Who?"}, {"question": "Where?"})
    assert [trace.score for trace in traces] == [1.0, 1.0]
    assert judge.asked == ["judge/big"] * 2
    assert all("verdict" not in request.messages[0].content for request in wild.engine.requests)


def test_a_judge_in_a_context_of_the_metric_is_that_one() -> None:
    judge = Judge()
    assert [trace.score for trace in Wild(Chain, by_seed, metric=_in_context(judge)).run({"question": "Who?"})] == [1.0]
    assert judge.asked == ["judge/big"]


def _swallows(example: Any, prediction: Any) -> float:
    try:
        return _metric(example, prediction)
    except Exception:
        return 0.0


@pytest.mark.parametrize("metric", [_metric, _swallows])
def test_a_metric_that_would_ask_the_lm_under_tuning_is_refused(metric: Any) -> None:
    with pytest.raises(TaskError, match=r"asks an LM and has none, since the one that is optimised must not judge"):
        Wild(Chain, by_seed, metric=metric).run({"question": "Who?"})
