"""Programs that call modules side by side: threads, coroutines and dspy.Parallel."""

import asyncio
import contextvars
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import dspy
import pytest

from bt_core.engine.base import Request
from bt_core.errors import ProgramError
from tests.core.lm.wild_programs import asked, calls, trained
from tests.core.scripted import Wild


class Colours(dspy.Module):
    """Calls one closed module for several things at once; a subclass says how."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = dspy.Predict(
            dspy.Signature("thing -> colour: C", "Name it.", custom_types={"C": Literal["red", "green", "blue"]})
        )
        self.sum_up = dspy.Predict("colours: list[str] -> answer")

    def forward(self, question: str) -> Any:
        things = question.split()
        return self.sum_up(colours=[one.colour for one in self.ask(things)])

    def ask(self, things: list[str]) -> list[Any]:
        """Predict for each thing, side by side."""
        return [self.colour(thing=thing) for thing in things]


class InParallel(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        pairs = [(self.colour, {"thing": thing}) for thing in things]
        return list(dspy.Parallel(num_threads=3, disable_progress_bar=True)(pairs))


class InThreads(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        def one(thing: str) -> Any:
            time.sleep(0.02 * ("sky" in thing))
            return self.colour(thing=thing)

        with ThreadPoolExecutor(3) as pool:
            return [job.result() for job in [pool.submit(contextvars.copy_context().run, one, t) for t in things]]


class InCoroutines(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        async def gathered() -> list[Any]:
            return await asyncio.gather(*(self.colour.acall(thing=thing) for thing in things))

        return asyncio.run(gathered())


class Awaited(dspy.Module):
    """Has no `forward` at all."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = Colours().colour
        self.sum_up = Colours().sum_up

    async def aforward(self, question: str) -> Any:
        jobs = [self.colour.acall(thing=thing) for thing in question.split()]
        found = await asyncio.gather(*jobs)
        return await self.sum_up.acall(colours=[one.colour for one in found])


def paint(prompt: str, request: Request) -> str:
    table = {"sky": "blue", "leaf": "green", "rose": "red"}
    return next((colour for thing, colour in table.items() if f"Thing: {thing}" in prompt), "nice")


@pytest.mark.parametrize("program", [InParallel, InThreads, InCoroutines, Awaited])
def test_calls_side_by_side_belong_to_their_example_in_an_order_that_does_not_change(program: Any) -> None:
    wild = Wild(program, paint)
    questions = ("sky leaf rose", "rose rose sky")
    traces = wild.run(*({"question": question} for question in questions))
    for trace, question in zip(traces, questions, strict=True):
        found = calls(trace)
        things = sorted(question.split())
        table = {"sky": "blue", "leaf": "green", "rose": "red"}
        assert found[:3] == [("colour", {"thing": thing}, {"colour": table[thing]}) for thing in things]
        colours = [table[thing] for thing in question.split()]
        assert found[3] == ("sum_up", {"colours": colours}, {"answer": "nice"})
        for call in trace.calls[:3]:
            assert call.label_logprobs is not None
            assert max(call.label_logprobs, key=call.label_logprobs.__getitem__) == call.outputs["colour"]
        assert trained(wild, trace)
    assert {name for name, message in asked(wild) if "Thing" in message} == {"colour"}


def test_a_bare_thread_is_refused_in_a_sentence_even_if_the_program_swallows_it() -> None:
    class Bare(Colours):
        def ask(self, things: list[str]) -> list[Any]:
            with ThreadPoolExecutor(2) as pool:
                jobs = [pool.submit(self.colour, thing=thing) for thing in things]
            return [job.result() for job in jobs if not job.exception()]

    with pytest.raises(ProgramError, match=r"from a thread that it started by itself.*use `dspy.Parallel`"):
        Wild(Bare, paint).one("sky leaf")
