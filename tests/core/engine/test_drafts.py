"""Drafts: what they guess, and that they change how many passes an answer takes but never the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import EngineAdapter, Message, Request, Sampling, TrainingRow
from bt_core.engine.local import drafts
from bt_core.engine.local.drafts import Drafts
from bt_core.engine.local.forward import Batch
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256

THINGS = ["sky", "grass of a very long meadow in the north", "blood", "a", "sea water in winter"]
SYSTEM = "Name the colour of the thing, as a person would who has never read a book about colours. " * 2


def asked(system: str = SYSTEM, adapter: EngineAdapter | None = None, **sampling: object) -> list[Request]:
    messages = [(Message("system", system), Message("user", f"Thing: {thing}")) for thing in THINGS]
    return [Request(one, adapter, Sampling(max_tokens=12, **sampling)) for one in messages]


@contextmanager
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the forward passes over batches."""
    counted: list[int] = []
    original = Batch.extend

    def extend(self: Batch, *arguments: object) -> None:
        counted.append(len(self.prefixes))
        original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "extend", extend)
        yield counted


@pytest.fixture
def engine(tiny_engine: TransformersEngine) -> TransformersEngine:
    tiny_engine.forget()
    return tiny_engine


@pytest.fixture(scope="module")
def adapter(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> EngineAdapter:
    folder = tmp_path_factory.mktemp("adapter")
    rows = [TrainingRow((Message("user", f"Thing {n}"),), "blue green"[: 4 + n]) for n in range(6)]
    settings = LoraConfig(rank=4, learning_rate=0.05)
    train_adapter(TrainingJob(tiny_model, tuple(rows), (), settings, EngineConfig(device="cpu"), 0), folder)
    return EngineAdapter(folder, adapter_sha256(folder))


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 3}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("with_adapter", [False, True], ids=["base", "adapter"])
def test_a_question_asked_again_takes_fewer_passes_and_has_the_same_answer(
    sampling: dict[str, object],
    with_adapter: bool,
    engine: TransformersEngine,
    adapter: EngineAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = asked(adapter=adapter if with_adapter else None, **sampling)
    with passes(monkeypatch) as first:
        answers = engine.generate(requests)
    with passes(monkeypatch) as second:
        assert engine.generate(requests) == answers
    assert len(second) < len(first) / 2


def test_drafts_of_other_prompts_change_no_answer(engine: TransformersEngine, adapter: EngineAdapter) -> None:
    other = asked("Say what the thing is made of, in one word.")
    expected = engine.generate(other)
    engine.forget()
    engine.generate([*asked(), *asked(adapter=adapter), *asked(temperature=1.0)])
    assert engine.generate(other) == expected


def test_wrong_drafts_change_no_answer(engine: TransformersEngine) -> None:
    expected = engine.generate(asked())
    engine.forget()
    for request, answer in zip(asked(), expected, strict=True):
        tokens = tuple(engine.tokenizer(answer.text)["input_ids"])
        for cut in (1, 3, 5):
            engine._drafts.learn(request.messages[-1].content, (*tokens[:cut], *range(100, 120)))
    assert engine.generate(asked()) == expected


def test_rows_that_stop_inside_a_draft_stop_there(engine: TransformersEngine) -> None:
    whole = engine.generate(asked())
    stops = [answer.text[4:6] for answer in whole]
    cut = [
        Request(request.messages, None, Sampling(max_tokens=12, stop=(stop,)))
        for request, stop in zip(asked(), stops, strict=True)
    ]
    answers = engine.generate(cut)
    assert [answer.text for answer in answers] == [
        answer.text[: answer.text.index(stop)] for answer, stop in zip(whole, stops, strict=True)
    ]
    engine.forget()
    assert engine.generate(cut) == answers


def test_the_latest_answer_that_begins_alike_is_guessed_first() -> None:
    history = Drafts()
    history.learn("q", (1, 2, 3, 4))
    history.learn("q", (1, 2, 5))
    assert history.guess("q", (), (1,)) == (2, 5)
    assert history.guess("q", (), (1, 2, 3)) == (4,)


def test_other_answers_and_the_prompt_are_looked_up_after_that() -> None:
    history = Drafts()
    history.learn("p", (7, 8, 9, 10))
    assert history.guess("q", (), (1, 8, 9)) == (10,)
    assert history.guess("q", (), (1, 8)) == (9, 10)
    assert history.guess("q", (20, 21, 22, 20, 23), (20,)) == (23,)
    assert history.guess("q", (20, 21), (21,)) == ()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "QUESTIONS", 3)
    monkeypatch.setattr(drafts, "CONTEXTS", 4)
    history = Drafts()
    for number in range(10):
        history.learn(f"q{number}", (number, number, number))
    assert history.guess("q9", (), (9,)) == (9, 9)
    assert history.guess("q0", (), (0,)) == ()
    assert len(history._followed) == 4
    for number in range(2 * drafts.ANSWERS):
        history.learn("q", (1, number))
    assert len(history._answers["q"]) == drafts.ANSWERS


def test_a_forgotten_history_leaves_no_drafts(tiny_model: BaseModel, tmp_path: Path) -> None:
    engine = TransformersEngine(tiny_model, EngineConfig(device="cpu"))
    engine.generate(asked())
    answer = next(iter(engine._drafts._answers["Thing: sky"]))
    assert engine._drafts.guess("Thing: sky", (), answer[:1]) == answer[1:]
    engine.forget()
    assert engine._drafts.guess("Thing: sky", (), answer[:1]) == ()
