"""Models for the core's tests: a tiny random one for mechanics, the embedded one where answers matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from bt_core.config import EngineConfig
from bt_core.engine.base import Completion, Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.models import EMBEDDED_MODEL, BaseModel, resolve_model
from bt_core.records import Usage


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads answers or adapters from a cache that the environment names."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def embedded_model() -> BaseModel:
    return resolve_model(EMBEDDED_MODEL)


@pytest.fixture(scope="session")
def embedded_engine(embedded_model: BaseModel) -> TransformersEngine:
    return TransformersEngine(embedded_model, EngineConfig())


@pytest.fixture(scope="session")
def tiny_folder(embedded_model: BaseModel, common_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and the embedded model's tokenizer: a real model, in milliseconds."""
    folder = common_folder / "tiny-model"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made = tmp_path_factory.mktemp("tiny-model")
            make_tiny_model(embedded_model, made)
            made.rename(folder)
    return folder


def make_tiny_model(embedded_model: BaseModel, folder: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded_model.path).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> BaseModel:
    return resolve_model(str(tiny_folder))


@pytest.fixture(scope="session")
def tiny_engine(tiny_model: BaseModel) -> TransformersEngine:
    return TransformersEngine(tiny_model, EngineConfig(device="cpu"))


@dataclass
class Recorder:
    """A real engine that keeps every request."""

    engine: TransformersEngine
    requests: list[Request] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    @property
    def usage(self) -> Usage:
        return self.engine.usage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.requests.extend(requests)
        self.batches.append(len(requests))
        return self.engine.generate(requests)

    def forget(self) -> None:
        self.engine.forget()

    def close(self) -> None:
        self.engine.close()


@pytest.fixture
def recorder(tiny_engine: TransformersEngine) -> Recorder:
    return Recorder(tiny_engine)
