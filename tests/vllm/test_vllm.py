"""Both engine kinds on a real vLLM: the answers and choices of the transformers engine, and one sentence per limit."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from bt_core.config import EngineConfig
from bt_core.engine.base import EngineAdapter, Message, Request, Sampling
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.local.vllm_engine import ENVIRONMENT, VllmEngine
from bt_core.engine.remote.server_engine import ServerEngine
from bt_core.engine.tokens.token_engine import TokenEngine
from bt_core.errors import ConfigError, EngineError, ModelError
from bt_core.models import BaseModel
from tests.vllm.agreement import SETTINGS, Run, compare, run

RANK = SETTINGS["w"]["rank"]
CONTEXT = 2048
KINDS = ("vllm", "server")
Holder = dict[str, TokenEngine]


def request(thing: str, **parts: object) -> Request:
    return Request((Message("system", "Answer in a few words."), Message("user", f"What is {thing}?")), **parts)


def processes() -> set[int]:
    """The ids of this test's child processes: vLLM's engine and its workers."""
    return {child.pid for child in psutil.Process().children(recursive=True) if child.status() != "zombie"}


@pytest.fixture(scope="module", params=KINDS)
def held(request: pytest.FixtureRequest, model: BaseModel) -> Iterator[Holder]:
    """One engine, which the last test closes."""
    if request.param == "vllm":
        yield {"engine": VllmEngine(model, EngineConfig(kind="vllm", context=CONTEXT), RANK)}
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = start_server(model, port)
    try:
        wait_for(url, server)
        yield {"engine": ServerEngine(model, EngineConfig(kind="server", url=f"{url}/v1", retries=1))}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def start_server(model: BaseModel, port: int) -> subprocess.Popen[bytes]:
    options = {
        "--served-model-name": model.id,
        "--port": str(port),
        "--dtype": "float32",
        "--max-model-len": str(CONTEXT),
        "--max-lora-rank": str(RANK),
        "--kv-cache-memory-bytes": str(1 << 30),
        "--generation-config": "vllm",
    }
    flags = ["--enable-lora", "--enforce-eager", "--enable-prompt-tokens-details"]
    command = [str(Path(sys.executable).with_name("vllm")), "serve", str(model.path), *flags]
    return subprocess.Popen(
        [*command, *(part for option in options.items() for part in option)],
        env=os.environ | ENVIRONMENT | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"},
    )


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    while True:
        assert server.poll() is None, "the server ended"
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)


@pytest.fixture
def engine(held: Holder) -> TokenEngine:
    return held["engine"]


@pytest.fixture(scope="module")
def found(held: Holder, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(held["engine"], tmp_path_factory.mktemp("found"))


def test_p_and_w_choose_the_same(found: Run, expected: Run) -> None:
    assert found.kept == expected.kept
    assert {name: state.demos for name, state in found.p.predictors.items()} == {
        name: state.demos for name, state in expected.p.predictors.items()
    }
    assert found.w.adapters == expected.w.adapters  # by the sha256 of the weights
    assert found.scores == expected.scores


@pytest.mark.parametrize("with_adapter", [False, True])
def test_answers_agree(
    found: Run, expected: Run, transformers_engine: TransformersEngine, engine: TokenEngine, with_adapter: bool
) -> None:
    agreement = compare(found, expected, transformers_engine.tokenizer, with_adapter)
    print(f"agreement: {type(engine).__name__} {'with' if with_adapter else 'without'} adapter: {agreement}")
    assert agreement.labels >= 10
    assert agreement.answers >= 10
    assert agreement.same_labels == agreement.labels
    assert agreement.tokens > 0.98
    assert agreement.logprob < 1e-3


def test_a_prompt_has_the_same_tokens(engine: TokenEngine, transformers_engine: TransformersEngine) -> None:
    one = request("the sky, “so to say” — naïve?\n")
    tokens = transformers_engine.render(one)
    assert engine.vocabulary.render(one.messages) == tokens
    if isinstance(engine, ServerEngine):
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        url = engine.endpoint.settings.url.removesuffix("/v1")
        answer = httpx.post(f"{url}/tokenize", json={"model": engine.base.id, "messages": messages}).json()
        assert tuple(answer["tokens"]) == tokens


def test_labels_with_a_common_beginning_score_as_on_transformers(
    engine: TokenEngine, transformers_engine: TransformersEngine
) -> None:
    labels = ("red", "dark red", "dark blue", "dark")
    asked = [request(thing, labels=labels, whole=whole) for thing in ("blood", "the sky") for whole in (False, True)]
    for one, other in zip(engine.generate(asked), transformers_engine.generate(asked), strict=True):
        assert one.label_logprobs == pytest.approx(other.label_logprobs, abs=1e-3)
        assert one.text == other.text


def test_stop_strings_and_lengths_are_those_of_transformers(
    engine: TokenEngine, transformers_engine: TransformersEngine
) -> None:
    asked = [
        request(thing, sampling=Sampling(max_tokens=12, stop=stop))
        for thing in ("blood", "snow")
        for stop in ((), (" a",))
    ]
    assert engine.generate(asked) == transformers_engine.generate(asked)


def test_samples_follow_their_seed(engine: TokenEngine) -> None:
    hot = Sampling(temperature=1.0, max_tokens=8, seed=1)
    asked = [request(thing, sampling=hot) for thing in ("blood", "snow", "rain")]
    first = [answer.text for answer in engine.generate(asked)]
    assert [answer.text for answer in engine.generate(asked)] == first
    other = [replace(one, sampling=replace(hot, seed=2)) for one in asked]
    assert [answer.text for answer in engine.generate(other)] != first


def test_a_prompt_over_the_context_is_an_error_of_its_own(engine: TokenEngine) -> None:
    fine, long = engine.generate([request("snow", labels=("a", "b")), request("snow " * CONTEXT, labels=("a", "b"))])
    assert fine.error is None
    assert long.error is not None
    assert f"the model's context holds {CONTEXT}" in long.error


def test_a_rank_above_the_maximum_is_one_sentence(
    engine: TokenEngine, make_adapter: Callable[[Path, int], EngineAdapter], tmp_path: Path
) -> None:
    wide = make_adapter(tmp_path, 2 * RANK)
    with pytest.raises((ConfigError, EngineError), match=r"rank 16.*(`engine.lora_rank`|--max-lora-rank)"):
        engine.generate([request("snow", labels=("a", "b"), adapter=wide)])
    assert engine.generate([request("snow", labels=("a", "b"))])[0].error is None  # the engine still answers


def test_a_damaged_adapter_is_one_sentence(
    engine: TokenEngine, make_adapter: Callable[[Path, int], EngineAdapter], tmp_path: Path
) -> None:
    damaged = make_adapter(tmp_path, RANK)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(EngineError, match=r"does not load|cannot load"):
        engine.generate([request("snow", labels=("a", "b"), adapter=damaged)])
    assert engine.generate([request("snow", labels=("a", "b"))])[0].error is None


def test_a_model_too_big_is_refused_before_it_is_loaded(model: BaseModel) -> None:
    before = processes()
    with pytest.raises(ModelError, match=r"needs .* GB \(weights 0\.\d+ GB \+ keys and values of \d+ tokens"):
        VllmEngine(model, EngineConfig(kind="vllm", batch_tokens=10**9), RANK)
    assert processes() == before


def test_memory_is_given_back(held: Holder) -> None:
    before, engine = processes(), held["engine"]
    engine.close()
    assert isinstance(engine, ServerEngine) or processes() < before
