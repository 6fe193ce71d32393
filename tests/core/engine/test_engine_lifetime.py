"""A step closes the engine that it opened, and a teacher has an engine of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bt_core.engine.base import Completion, Engine, Message, Request
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.records import Usage
from bt_core.steps import engines
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.teacher import teacher_session
from tests.core.conftest import Recorder
from tests.core.flow import Flow
from tests.core.scripted import Scripted

G = {"metric_calls": 24, "minibatch": 1, "max_tokens": 12}
W = {"min_traces": 1, "epochs": 1}


@dataclass
class Closing(Recorder):
    """A real engine that answers until it is closed."""

    closed: bool = False

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        assert not self.closed
        return super().generate(requests)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_engine: TransformersEngine) -> Flow:
    """A vanilla program and its traces; the steps after them open their engines themselves."""
    folder, teacher = tmp_path_factory.mktemp("lifetime"), {"model": str(tiny_folder)}
    flow = Flow.start(folder, tiny_folder, "tests.core.toy:task", tiny_engine, g=G, w=W, teacher=teacher)
    flow.bootstrap()
    return replace(flow, engine=None)


@pytest.fixture
def opened(tiny_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> list[Closing]:
    """The engines that steps have loaded since, in order."""
    loaded: list[Closing] = []

    def load(*_: object) -> Closing:
        loaded.append(Closing(tiny_engine))
        return loaded[-1]

    monkeypatch.setattr(engines, "load_engine", load)
    return loaded


def test_a_lazy_engine_is_loaded_when_it_is_asked_and_counts_from_then_on() -> None:
    question = Request((Message("user", "Is it dark?"),))
    loaded: list[Engine] = []

    def load() -> Engine:
        loaded.append(Scripted(lambda text, request: "yes"))
        loaded[-1].generate([question])  # an engine that was used before
        return loaded[-1]

    engine = LazyEngine(load)
    engine.forget()
    engine.close()
    assert not loaded
    for _ in range(2):
        engine.generate([question])
        engine.close()
    assert len(loaded) == 2
    assert engine.usage == Usage(calls=2)


def test_the_engine_that_validates_an_adapter_is_closed(begun: Flow, opened: list[Closing]) -> None:
    begun.w()
    before, after = opened
    assert before.closed
    assert after.closed
    assert begun.last.usage.calls == len(before.requests) + len(after.requests)


def test_a_teacher_that_writes_is_closed(begun: Flow, opened: list[Closing]) -> None:
    begun.going_on("g", writer="teacher").g()
    assert [engine.closed for engine in opened] == [True, True]
    assert all(engine.requests for engine in opened), "one ran the program, the other wrote"


def test_a_teachers_engine_is_its_own_where_the_stage_has_opened_one(begun: Flow, opened: list[Closing]) -> None:
    session = Session(Stage.open("bootstrap", "bootstrap", begun.folder / "vanilla", begun.config))
    student = session.engine
    assert teacher_session(session).engine is not student
    assert session.engine is student
    assert len(opened) == 2
