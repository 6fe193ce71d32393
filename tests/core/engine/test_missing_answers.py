"""What an engine did not answer is never invented, and what it did answer is kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bt_core.config import EngineConfig
from bt_core.engine.base import Completion, Message, PartlyAnswered, Request, Sampling
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.remote.chat_engine import ChatEngine
from bt_core.engine.remote.server_engine import ServerEngine
from bt_core.engine.response_cache import CachedEngine, ResponseStore
from bt_core.engine.tokens.closed_answers import label_completion
from bt_core.engine.tokens.sampling import pick
from bt_core.engine.tokens.token_tree import TokenTree
from bt_core.errors import EngineError
from bt_core.models import BaseModel
from tests.core.openai_server import Served, openai_server

LABELS = ("red", "green")


def request(thing: str, **parts: object) -> Request:
    return Request((Message("user", f"Name the colour of {thing}."),), **parts)


@pytest.fixture(scope="module")
def shared(tiny_folder: Path) -> Iterator[Served]:
    with openai_server(tiny_folder) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    shared.faults, shared.asked, shared.closed_until, shared.chat = [], [], 0.0, lambda body: '{"answer": "red"}'
    return shared


def settings(served: Served, **parts: object) -> EngineConfig:
    plain = {"kind": "server", "url": served.url, "served_as": "tiny", "retries": 1, "protocol": "chat"}
    return EngineConfig(**plain | parts)


@pytest.mark.parametrize("fault", ["no choices", "error body", "filtered", "broken off", "failed", "garbage"])
def test_an_answer_that_is_none_is_asked_for_again(served: Served, fault: str) -> None:
    served.faults = [fault]
    (answer,) = ChatEngine("tiny", settings(served)).generate([request("blood", labels=LABELS)])
    assert (answer.text, answer.ended, len(served.asked)) == ("red", "stop", 2)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no choices", r"answers without an answer \(`choices` is empty\), tried 2 times: see the server's log"),
        ("error body", r"an error instead of an answer \(the model is overloaded\), tried 2 times"),
        ("filtered", r"withholds an answer \(content_filter\), tried 2 times"),
        ("broken off", r"withholds an answer \(abort\), tried 2 times"),
        ("failed", r"withholds an answer \(error\), tried 2 times"),
        ("garbage", "an answer of an unknown form .*It works"),
    ],
)
def test_no_answer_again_and_again_is_an_error(served: Served, fault: str, sentence: str) -> None:
    served.faults = [fault] * 2
    with pytest.raises(EngineError, match=sentence):
        ChatEngine("tiny", settings(served)).generate([request("blood", labels=LABELS)])


@pytest.mark.parametrize(
    ("fault", "ended", "sentence"),
    [("length", "length", "was cut off after 7 tokens"), ("null", "nothing", "an answer without text")],
)
@pytest.mark.parametrize("labels", [(), LABELS], ids=["free", "closed"])
def test_an_answer_that_is_cut_is_an_error_of_its_request_and_not_kept(
    served: Served, tmp_path: Path, labels: tuple[str, ...], fault: str, ended: str, sentence: str
) -> None:
    engine = CachedEngine(lambda: ChatEngine("tiny", settings(served)), ResponseStore(tmp_path), {"test": "chat"})
    asked = [request("blood", labels=labels), request("roses", labels=labels)]
    served.faults = [fault]
    answers = engine.generate(asked)
    (bad,) = [answer for answer in answers if answer.error]
    assert (bad.text, bad.ended) == ("", ended)
    assert sentence in str(bad.error)
    again = engine.generate(asked)
    assert [answer.error for answer in again] == [None, None]
    assert engine.usage.cached_calls == 1
    assert len(served.asked) == 3


@pytest.mark.parametrize("protocol", ["chat", "tokens"])
def test_answers_before_the_end_of_an_endpoint_are_kept(
    served: Served, tiny_model: BaseModel, tmp_path: Path, protocol: str
) -> None:
    few = settings(served, protocol=protocol, retries=0, concurrency=1)
    make = (lambda: ChatEngine("tiny", few)) if protocol == "chat" else (lambda: ServerEngine(tiny_model, few))
    asked = [request(f"thing {number}", labels=LABELS) for number in range(8)]
    served.faults = [""] * 5 + ["500"] * 9
    with pytest.raises(PartlyAnswered, match="answers 500"):
        CachedEngine(make, ResponseStore(tmp_path), {"test": protocol}).generate(asked)
    served.faults, served.asked = [], []
    engine = CachedEngine(make, ResponseStore(tmp_path), {"test": protocol})
    answers = engine.generate(asked)
    assert (engine.usage.cached_calls, len(served.asked)) == (5, 3)
    assert [replace(answer, cached=False) for answer in answers] == make().generate(asked)


def test_tokens_that_were_broken_off_are_asked_for_again(served: Served, tiny_model: BaseModel) -> None:
    served.faults = ["broken off tokens"]
    engine = ServerEngine(tiny_model, settings(served, protocol="tokens"))
    (answer,) = engine.generate([request("blood", sampling=Sampling(max_tokens=5))])
    assert (answer.completion_tokens, answer.ended, len(served.asked)) == (5, "length", 2)


def test_an_endpoint_that_does_not_say_why_an_answer_ended(served: Served) -> None:
    served.faults = ["no reason"]
    assert ChatEngine("tiny", settings(served)).generate([request("blood")])[0].ended == ""


def test_a_token_that_the_model_does_not_have_is_an_error(served: Served, tiny_model: BaseModel) -> None:
    served.faults = ["strange token"]
    engine = ServerEngine(tiny_model, settings(served, protocol="tokens"))
    with pytest.raises(EngineError, match="answers with the token 1000000, but the model has 49152 tokens"):
        engine.generate([request("blood")])


def test_a_log_probability_that_is_no_number_is_an_error(served: Served, tiny_model: BaseModel) -> None:
    served.faults = ["NaN"]
    engine = ServerEngine(tiny_model, settings(served, protocol="tokens", retries=0))
    with pytest.raises(EngineError, match="NaN is no JSON number"):
        engine.generate([request("blood", labels=LABELS)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_labels_without_probabilities_are_an_error(bad: float) -> None:
    tree = TokenTree.build([[1], [2]], 0)
    with pytest.raises(EngineError, match="probabilities are not numbers"):
        label_completion(request("blood", labels=LABELS), 1, tree, tree.label_logprobs({(): {1: bad, 2: 0.0}}), None)
    steps = {(): {1: bad, 2: 0.0}, (1,): {0: 0.0}, (2,): {0: 0.0}}
    with pytest.raises(EngineError, match="probabilities are not numbers"):
        label_completion(request("blood", labels=LABELS), 1, tree, tree.whole_logprobs(steps), None)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_without_a_likeliest_token_are_an_error(temperature: float) -> None:
    generator = torch.Generator() if temperature else None
    for bad in (float("nan"), float("inf")):
        with pytest.raises(EngineError, match="probabilities are not numbers"):
            pick(torch.tensor([0.0, bad, 1.0]), Sampling(temperature=temperature), generator)


def test_a_broken_adapter_is_an_error_and_gives_no_label(tiny_model: BaseModel) -> None:
    engine = TransformersEngine(tiny_model, EngineConfig(device="cpu"))
    with torch.no_grad():
        engine.model.get_input_embeddings().weight.fill_(float("nan"))
    for asked in (request("blood", labels=LABELS), request("blood", sampling=Sampling(max_tokens=3))):
        with pytest.raises(EngineError, match="probabilities are not numbers"):
            engine.generate([asked])


def test_answers_before_the_model_fails_are_kept(
    tiny_engine: TransformersEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, label = request("blood", sampling=Sampling(max_tokens=3)), request("blood", labels=LABELS)
    engine = CachedEngine(lambda: tiny_engine, ResponseStore(tmp_path), {"test": "local"})

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(tiny_engine, "_decode", fail)  # free answers come after closed ones
    with pytest.raises(PartlyAnswered, match=r"failed on a batch of 2 prompts \(out of memory\)"):
        engine.generate([free, label])
    assert engine.generate([label])[0].cached


def test_why_an_answer_ended_is_known(tiny_engine: TransformersEngine) -> None:
    whole = tiny_engine.generate([request("blood", sampling=Sampling(max_tokens=12))])[0]
    stopped = tiny_engine.generate([request("blood", sampling=Sampling(max_tokens=12, stop=(whole.text[4:7],)))])[0]
    label = tiny_engine.generate([request("blood", labels=LABELS)])[0]
    assert (whole.ended, stopped.ended, label.ended) == ("length", "stop", "stop")
    assert Completion("").ended == ""
