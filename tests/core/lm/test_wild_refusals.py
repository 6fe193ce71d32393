"""Programs that cannot be optimised, and programs that fail."""

import asyncio
from typing import Any

import dspy
import pytest

from bt_core.errors import ProgramError
from tests.core.lm.wild_programs import Chain, by_seed
from tests.core.scripted import Wild

OTHER = "openai/some-model"


class Own(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.say.lm = dspy.LM(OTHER)

    def forward(self, question: str) -> Any:
        return self.say(question=question)


class OwnAtCall(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        try:
            return self.say(question=question, lm=dspy.LM(OTHER, num_retries=0, api_base="http://127.0.0.1:9"))
        except Exception:
            return dspy.Prediction(answer="offline")


class Streams(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        async def read() -> Any:
            return [part async for part in dspy.streamify(self.say)(question=question)][-1]

        try:
            return asyncio.run(read())
        except Exception:
            return dspy.Prediction(answer="nothing came")


class Sees(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("image: dspy.Image -> answer")

    def forward(self, question: str) -> Any:
        return self.say(image=dspy.Image("data:image/png;base64,iVBORw0KGgo="))


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (Own, f"Predictor `say` brings an LM of its own \\({OTHER}\\), which cannot be optimised"),
        (OwnAtCall, f"Predictor `say` was called with an LM of its own \\({OTHER}\\), which cannot be optimised"),
        (Streams, "The program streams, which cannot be optimised: call its modules plainly"),
        (Sees, "prompt holds a ImagePart, but the engine reads text alone"),
        (lambda: dspy.streamify(Chain()), "The program is a function, not a `dspy.Module`"),
        (dspy.Module, "has no predictor: nothing could be optimised"),
    ],
    ids=["own-lm", "own-lm-at-call", "streams", "image", "no-module", "no-predictor"],
)
def test_what_cannot_be_optimised_is_refused_in_a_sentence(program: Any, sentence: str) -> None:
    with pytest.raises(ProgramError, match=sentence):
        Wild(program, by_seed).one("q")


def test_a_program_that_returns_nothing_has_failed() -> None:
    class Forgets(Chain):
        def forward(self, question: str) -> Any:
            super().forward(question)

    trace = Wild(Forgets, by_seed).one("q")
    assert (trace.score, trace.error) == (0.0, "The program returned nothing.")


def test_predict_says_in_a_sentence_why_a_program_failed() -> None:
    class Fails(Chain):
        def forward(self, question: str) -> Any:
            raise KeyError(question)

    wild = Wild(Fails, by_seed)
    with pytest.raises(ProgramError, match=r"The program failed on this input \(KeyError: 'q'\)"):
        wild.runner.predict(wild.state, [{"question": "q"}])
