"""Programs that sample: several attempts, several completions."""

from typing import Any

import dspy
import pytest

from bt_core.engine.base import Request
from tests.core.lm.wild_programs import Chain, by_seed, calls
from tests.core.scripted import Wild


@pytest.mark.parametrize("kind", ["BestOfN", "Refine"])
def test_of_several_attempts_the_chosen_one_is_traced(kind: str) -> None:
    seen: list[str] = []

    def reward(arguments: Any, prediction: Any) -> float:
        seen.append(prediction.answer)
        return float(len(set(seen)) == 3)

    def advise(prompt: str, request: Request) -> str:
        if request.adapter is None:
            return 'Discussion: none\nAdvice: {"think": "N/A", "say": "N/A"}'
        return by_seed(prompt, request)

    wild = Wild(lambda: getattr(dspy, kind)(module=Chain(), N=4, reward_fn=reward, threshold=1.0), advise)
    trace = wild.one("q")
    assert len(set(seen)) == 3, "each attempt samples anew"
    assert [(name, outputs) for name, _, outputs in calls(trace)] == [
        ("module.think", {"thought": trace.calls[1].inputs["thought"]}),
        ("module.say", {"answer": seen[2]}),
    ]
    assert trace.calls[0].inputs == {"question": "q"}


def test_several_completions_of_one_call_are_different_samples() -> None:
    class Vote(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.guess = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            found = self.guess(question=question, config={"n": 3, "temperature": 0.7})
            return dspy.Prediction(answers=found.completions.answer)

    wild = Wild(Vote, by_seed)
    first, again = wild.one("q"), wild.one("q")
    assert len(set(first.prediction["answers"])) == 3
    assert first == again
