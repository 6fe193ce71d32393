"""A model that does not fit the memory is refused before it is loaded, with the sum."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from bt_core.config import Config, EngineConfig
from bt_core.engine.model_memory import check_memory, memory_need
from bt_core.errors import ConfigError, ModelError
from bt_core.models import BaseModel
from bt_core.program import Program
from bt_core.steps.engines import load_engine


def test_the_sum_is_the_memory_of_the_loaded_model(tiny_model: BaseModel) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32)
    cache = DynamicCache(config=loaded.config)
    with torch.inference_mode():
        loaded(torch.arange(7)[None], past_key_values=cache, use_cache=True)
    needed = memory_need(tiny_model, 4, 7)
    assert needed.weights == sum(weight.nbytes for weight in loaded.parameters())
    assert needed.keys_values == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def test_a_model_too_big_is_refused_with_the_sum(tiny_model: BaseModel) -> None:
    needed = memory_need(tiny_model, 4, 1000)
    check_memory(tiny_model, needed, needed.total, "the card", "take a larger one")
    with pytest.raises(ModelError, match=r"weights .* GB \+ keys and values of 1000 tokens .* the card has .*: take"):
        check_memory(tiny_model, needed, needed.total - 1, "the card", "take a larger one")


def test_an_engine_does_not_load_a_model_that_cannot_fit(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "wide")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}))
    program = Program("toy", str(folder), None, {})
    with pytest.raises(ModelError, match="this machine has"):
        load_engine(program, Config(task="toy", engine=EngineConfig(device="cpu")))


def test_a_missing_vllm_is_one_sentence(tiny_folder: Path) -> None:
    program = Program("toy", str(tiny_folder), None, {})
    with pytest.raises(ConfigError, match=r"`engine.kind` is vllm, but vLLM cannot be imported here .*docs/vllm.md"):
        load_engine(program, Config(task="toy", engine=EngineConfig(kind="vllm")))
