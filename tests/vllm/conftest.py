"""What the tests on a real vLLM share: the embedded model, and a run of the default task on the transformers engine."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from bt_core.config import EngineConfig
from bt_core.engine.base import EngineAdapter
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.models import EMBEDDED_MODEL, BaseModel, resolve_model
from bt_core.program import adapter_sha256
from tests.vllm.agreement import Run, run

# `make test-vllm` runs these in an environment of their own; elsewhere there is no vLLM to test.
collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]
os.environ.pop("BT_RESPONSE_CACHE", None)


@pytest.fixture(scope="session")
def model() -> BaseModel:
    return resolve_model(EMBEDDED_MODEL)


@pytest.fixture(scope="session")
def transformers_engine(model: BaseModel) -> TransformersEngine:
    return TransformersEngine(model, EngineConfig(device="cpu"))


@pytest.fixture(scope="session")
def expected(transformers_engine: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(transformers_engine, tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="session")
def make_adapter(model: BaseModel) -> Callable[[Path, int], EngineAdapter]:
    """Makes an adapter of random weights: (folder, rank) -> adapter."""

    def make(folder: Path, rank: int) -> EngineAdapter:
        tuned = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(AutoModelForCausalLM.from_pretrained(model.path), tuned).save_pretrained(folder)
        return EngineAdapter(folder, adapter_sha256(folder))

    return make
