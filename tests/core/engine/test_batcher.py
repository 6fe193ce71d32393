"""The micro-batcher: the same batches every time, of all calls that can wait; errors that no program can hide."""

import time
from collections.abc import Sequence

import pytest

from bt_core.engine.base import BaseEngine, Completion, Message, Request
from bt_core.engine.batcher import Batcher
from bt_core.errors import EngineError
from bt_core.records import Usage


class Echo(BaseEngine):
    """An engine that answers with the last message and keeps its batches."""

    usage = Usage()

    def __init__(self, fail_on: str = "") -> None:
        self.batches: list[list[str]] = []
        self.fail_on = fail_on

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        texts = [request.messages[-1].content for request in requests]
        self.batches.append(texts)
        if self.fail_on in texts:
            raise EngineError("The engine is broken.")
        return [Completion(text) for text in texts]


def ask(batcher: Batcher, text: str) -> str:
    return batcher.submit(Request((Message("user", text),))).text


def test_all_jobs_first_calls_are_one_batch_and_so_are_the_second() -> None:
    engine = Echo()
    batcher = Batcher(engine, in_flight=64)
    jobs = [lambda n=n: ask(batcher, ask(batcher, f"a{n}") + "!") for n in range(20)]
    assert batcher.run(jobs) == [f"a{n}!" for n in range(20)]
    assert engine.batches == [[f"a{n}" for n in range(20)], [f"a{n}!" for n in range(20)]]


def test_a_job_that_asks_late_is_waited_for() -> None:
    engine = Echo()
    batcher = Batcher(engine, in_flight=8)

    def slow() -> str:
        time.sleep(0.3)
        return ask(batcher, "slow")

    assert batcher.run([lambda: ask(batcher, "fast"), slow]) == ["fast", "slow"]
    assert engine.batches == [["fast", "slow"]]


def test_jobs_may_ask_nothing_or_differ_in_how_often_they_ask() -> None:
    engine = Echo()
    batcher = Batcher(engine, in_flight=8)
    jobs = [lambda n=n: "".join(ask(batcher, str(n)) for _ in range(n)) for n in range(4)]
    assert batcher.run(jobs) == ["", "1", "22", "333"]
    assert engine.batches == [["1", "2", "3"], ["2", "3"], ["3"]]


def test_more_jobs_than_threads_all_finish() -> None:
    batcher = Batcher(Echo(), in_flight=3)
    assert batcher.run([lambda n=n: ask(batcher, str(n)) for n in range(10)]) == [str(n) for n in range(10)]


def test_an_engine_fault_stops_the_run_even_if_programs_catch_it() -> None:
    batcher = Batcher(Echo(fail_on="3"), in_flight=8)

    def careless(n: int) -> str:
        try:
            return ask(batcher, str(n))
        except Exception:
            return "swallowed"

    with pytest.raises(EngineError, match="broken"):
        batcher.run([lambda n=n: careless(n) for n in range(5)])


def test_an_engine_that_drops_an_answer_ends_the_run() -> None:
    class Forgetful(Echo):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return super().generate(requests)[1:]

    batcher = Batcher(Forgetful(), in_flight=8)
    with pytest.raises(ValueError, match="shorter"):
        batcher.run([lambda n=n: ask(batcher, str(n)) for n in range(3)])


def test_progress_counts_every_job_once() -> None:
    batcher = Batcher(Echo(), in_flight=4)
    seen: list[int] = []
    batcher.run([lambda n=n: ask(batcher, str(n)) for n in range(9)], seen.append)
    assert sum(seen) == 9


def test_an_exception_of_a_job_reaches_the_caller() -> None:
    batcher = Batcher(Echo(), in_flight=4)

    def wrong() -> str:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        batcher.run([lambda: ask(batcher, "a"), wrong])
