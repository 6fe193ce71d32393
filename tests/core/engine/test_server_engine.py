"""The engines that use an endpoint: the same answers as in this process, and one sentence for every fault."""

import gc
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from bt_core.config import EngineConfig
from bt_core.engine.base import Completion, Engine, EngineAdapter, Message, Request, Sampling
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.remote.chat_engine import ChatEngine
from bt_core.engine.remote.server_engine import ServerEngine
from bt_core.errors import ConfigError, EngineError, ProgramError
from bt_core.formats.traces import read_traces
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256, read_program
from bt_core.steps.bootstrap import bootstrap
from tests.core.flow import Flow
from tests.core.openai_server import Served, openai_server

LABELS = ("red", "green", "dark green", "dark blue")
THINGS = ("sky", "grass of a very long meadow", "blood", "sky")
KEY = "BT_TEST_KEY"


def request(thing: str, **parts: object) -> Request:
    return Request((Message("system", "Name the colour."), Message("user", f"Thing: {thing}")), **parts)


@pytest.fixture(scope="module")
def shared(tiny_folder: Path) -> Iterator[Served]:
    with openai_server(tiny_folder) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    shared.faults, shared.asked, shared.most_busy, shared.closed_until = [], [], 0, 0.0
    return shared


def settings(served: Served, **parts: object) -> EngineConfig:
    plain = {"kind": "server", "url": served.url, "served_as": "tiny", "retries": 1, "timeout": 5.0}
    return EngineConfig(**plain | parts)


@pytest.fixture
def engine(served: Served, tiny_model: BaseModel) -> ServerEngine:
    return ServerEngine(tiny_model, settings(served))


def adapter(model: BaseModel, folder: Path, rank: int = 4, **config: object) -> EngineAdapter:
    """An adapter of random weights."""
    tuned = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model.path), tuned).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return EngineAdapter(folder, adapter_sha256(folder))


def pairs(ours: list[Completion], theirs: list[Completion]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.label_logprobs == pytest.approx(other.label_logprobs, abs=1e-5)
        assert replace(one, label_logprobs=()) == replace(other, label_logprobs=())


def test_answers_are_those_of_the_engine_in_this_process(
    engine: ServerEngine, tiny_engine: TransformersEngine, tiny_model: BaseModel, tmp_path: Path
) -> None:
    tuned = adapter(tiny_model, tmp_path)
    whole = tiny_engine.generate([request("sky", sampling=Sampling(max_tokens=12))])[0].text
    asked = [
        changed
        for thing in THINGS
        for plain in (
            request(thing, labels=LABELS),
            request(thing, labels=LABELS, whole=True),
            request(thing, labels=LABELS, whole=True, label_prior=(0.5, -0.5, 0.0, 1.0)),
            request(thing, labels=LABELS, walk=True, label_prior=(0.5, -0.5, 0.0, 1.0)),
            request(thing, labels=LABELS, sampling=Sampling(temperature=1.0, seed=3)),
            request(thing, sampling=Sampling(max_tokens=6)),
            request(thing, sampling=Sampling(max_tokens=12, stop=(whole[4:7],))),
        )
        for changed in (plain, replace(plain, adapter=tuned))
    ]
    pairs(engine.generate(asked), tiny_engine.generate(asked))
    assert engine.usage.calls == len(asked)


def test_equal_requests_are_sent_once_and_the_prompt_as_tokens(
    engine: ServerEngine, served: Served, tiny_engine: TransformersEngine
) -> None:
    engine.generate([request("sky", sampling=Sampling(max_tokens=2))] * 3)
    ((path, body, _),) = served.asked
    assert path == "/v1/completions"
    assert tuple(body["prompt"]) == tiny_engine.render(request("sky"))


def test_adapters_are_loaded_once_and_unloaded_with_the_engine(
    served: Served, tiny_model: BaseModel, tmp_path: Path
) -> None:
    engine = ServerEngine(tiny_model, settings(served))
    tuned = adapter(tiny_model, tmp_path)
    for _ in range(2):
        engine.generate([request(thing, labels=LABELS, adapter=tuned) for thing in THINGS])
    assert [path for path, _, _ in served.asked].count("/v1/load_lora_adapter") == 1
    del engine
    gc.collect()
    assert served.asked[-1][0] == "/v1/unload_lora_adapter"
    assert set(served.models) == {"tiny"}


def test_a_prompt_over_the_context_is_an_error_of_its_own(engine: ServerEngine) -> None:
    fine, long = engine.generate([request("sky", labels=LABELS), request("sky " * 600, labels=LABELS)])
    assert fine.error is None
    assert long.error is not None
    assert "the model's context holds 512" in long.error


@pytest.mark.parametrize("fault", ["busy", "500", "503", "cut", "slow"])
def test_a_passing_fault_is_tried_again(served: Served, tiny_model: BaseModel, fault: str) -> None:
    engine = ServerEngine(tiny_model, settings(served, timeout=0.5 if fault == "slow" else 5.0))
    served.faults = [fault]
    (answer,) = engine.generate([request("sky", labels=("red", "green"))])
    assert answer.text in ("red", "green")
    assert len(served.asked) == 2


def test_an_endpoint_that_fails_twice_answers_in_the_end(served: Served, tiny_model: BaseModel) -> None:
    engine = ServerEngine(tiny_model, settings(served, retries=2))
    served.faults = ["503", "cut"]
    (answer,) = engine.generate([request("sky", labels=("red", "green"))])
    assert answer.text in ("red", "green")
    assert len(served.asked) == 3


@pytest.mark.parametrize("fault", ["503", "cut", "lost"])
def test_an_adapter_is_loaded_though_the_endpoint_fails(
    served: Served, tiny_model: BaseModel, tmp_path: Path, fault: str
) -> None:
    engine = ServerEngine(tiny_model, settings(served))
    served.faults = [fault]
    (answer,) = engine.generate([request("sky", labels=LABELS, adapter=adapter(tiny_model, tmp_path))])
    assert answer.text in LABELS
    loads = [body["lora_name"] for path, body, _ in served.asked if path == "/v1/load_lora_adapter"]
    assert loads == [loads[0]] * 2


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("busy", r"answers 429 \(too many requests\): lower `engine.concurrency`"),
        ("500", r"answers 500 \(status 500\): see the server's log"),
        ("401", "answers 401 .* check the key in"),
        ("404", "answers 404 .* `engine.served_as`"),
        ("cut", r"cannot be reached, or broke off \(.+\), tried once"),
        ("slow", "gave no answer within 0.5 s, tried once: raise `engine.timeout`"),
        ("garbage", "an answer of an unknown form .*It works"),
    ],
)
def test_a_lasting_fault_is_one_sentence(served: Served, tiny_model: BaseModel, fault: str, sentence: str) -> None:
    engine = ServerEngine(tiny_model, settings(served, retries=0, timeout=0.5 if fault == "slow" else 5.0))
    served.faults = [fault]
    with pytest.raises(EngineError, match=sentence) as caught:
        engine.generate([request("sky", labels=LABELS)])
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_is_down_is_one_sentence(served: Served, tiny_model: BaseModel) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nowhere = settings(served).model_copy(update={"url": f"http://127.0.0.1:{port}/v1"})
    with pytest.raises(EngineError, match=r"cannot be reached.*tried 2 times: check `engine.url`"):
        ServerEngine(tiny_model, nowhere)


def test_a_model_that_is_not_served_is_named_with_those_that_are(served: Served, tiny_model: BaseModel) -> None:
    with pytest.raises(EngineError, match="does not serve `large` but tiny"):
        ServerEngine(tiny_model, settings(served, served_as="large"))


def test_a_rank_above_the_servers_maximum_is_one_sentence(
    engine: ServerEngine, tiny_model: BaseModel, tmp_path: Path
) -> None:
    wide = adapter(tiny_model, tmp_path, rank=16)
    with pytest.raises(EngineError, match=r"rank 16 is greater than max_lora_rank 8\.\): start .* `--max-lora-rank`"):
        engine.generate([request("sky", labels=LABELS, adapter=wide)])


def test_an_adapter_of_another_base_is_refused(engine: ServerEngine, tiny_model: BaseModel, tmp_path: Path) -> None:
    foreign = adapter(tiny_model, tmp_path, revision="f" * 64, base_model_name_or_path="other/base")
    with pytest.raises(ProgramError, match=r"was trained on other/base .*but the engine runs"):
        engine.generate([request("sky", labels=LABELS, adapter=foreign)])


def test_no_more_requests_are_under_way_than_allowed(served: Served, tiny_model: BaseModel) -> None:
    engine = ServerEngine(tiny_model, settings(served, concurrency=2))
    engine.generate([request(f"thing {n}", labels=LABELS) for n in range(8)])
    assert served.most_busy <= 2


def test_the_key_comes_from_the_environment_and_no_other_key_is_sent(
    served: Served, tiny_model: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not for you")
    named = settings(served, key_variable=KEY)
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(ConfigError, match=f"environment variable {KEY}"):
        ServerEngine(tiny_model, named)
    monkeypatch.setenv(KEY, "word")
    for config in (named, settings(served)):
        ServerEngine(tiny_model, config).generate([request("sky", labels=("red", "green"))])
    keys = [{name.lower(): value for name, value in headers.items()}["authorization"] for _, _, headers in served.asked]
    assert keys == ["Bearer word", "Bearer none"]


@pytest.fixture
def chat(served: Served) -> Engine:
    served.chat = lambda body: "a colour"
    return ChatEngine("tiny", settings(served, protocol="chat"))


def test_chat_takes_messages_and_returns_text(chat: Engine, served: Served) -> None:
    (answer,) = chat.generate([request("sky", sampling=Sampling(max_tokens=5, stop=("\n",)))])
    assert (answer.text, answer.completion_tokens) == ("a colour", 1)
    _, body, _ = served.asked[-1]
    assert body["messages"][1] == {"role": "user", "content": "Thing: sky"}
    assert (body["max_tokens"], body["stop"]) == (5, ["\n"])


@pytest.mark.parametrize(
    ("answered", "text"),
    [('{"answer": "dark blue"}', "dark blue"), ("Red", "red"), ("none of them", "none of them"), ("[1]", "[1]")],
)
def test_chat_constrains_closed_answers(chat: Engine, served: Served, answered: str, text: str) -> None:
    served.chat = lambda body: answered
    (answer,) = chat.generate([request("sky", labels=LABELS)])
    assert answer.text == text
    schema = served.asked[-1][1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == list(LABELS)


def test_chat_refuses_what_it_cannot_do(chat: Engine) -> None:
    with pytest.raises(ConfigError, match=r"`decoding.calibration` needs the labels' log-probabilities"):
        chat.generate([request("sky", labels=LABELS, label_prior=(0.1,) * 4)])
    with pytest.raises(ConfigError, match=r"`decoding.closed=whole` needs the labels' log-probabilities"):
        chat.generate([request("sky", labels=LABELS, whole=True)])
    (long,) = chat.generate([request("sky " * 600)])
    assert long.error is not None
    assert "maximum context length is 512" in long.error


@pytest.mark.parametrize("closed", ["scored", "whole"])
def test_a_teacher_makes_the_traces_and_is_named_in_them_and_in_the_lineage(
    served: Served, tiny_folder: Path, tmp_path: Path, closed: str
) -> None:
    def answer(body: dict[str, object]) -> str:
        schema = body["response_format"]["json_schema"]["schema"]
        return json.dumps({"answer": schema["properties"]["answer"]["enum"][-1]})

    served.chat = answer
    engine = settings(served, protocol="chat").model_dump(mode="json")
    teacher = {"model": "clever", "engine": engine}
    asked = {"teacher": teacher, "p": {"candidates": 1}, "decoding": {"closed": closed}}
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:task", **asked)
    traces = flow.bootstrap()
    assert {trace.model for trace in traces} == {"clever"}
    assert {trace.prediction["colour"] for trace in traces} == {"blue"}
    assert any(trace.score == 1.0 for trace in traces)
    assert flow.p().lineage[-1].config["teacher"] == "clever"
    assert read_program(tmp_path / "p").model == str(tiny_folder)


def test_an_example_that_a_teacher_cannot_take_scores_0_and_is_named(
    served: Served, tiny_folder: Path, tmp_path: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:task", decoding={"closed": "free", "max_tokens": 600})
    config = flow.config.model_copy(update={"engine": settings(served)})
    report = bootstrap(tmp_path / "vanilla", tmp_path / "train.jsonl", config, "b", tmp_path / "traces")
    traces = read_traces(tmp_path / "traces")
    assert all(trace.score == 0.0 and "context holds 512" in str(trace.error) for trace in traces)
    assert traces[0].example in report.warnings[0]
