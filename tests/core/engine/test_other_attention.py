"""Models with windows, capped logits or convolutions run without prefix sharing; their answers depend on no batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, Lfm2Config, MistralConfig

from bt_core.config import EngineConfig
from bt_core.engine.base import Message, Request, Sampling
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.models import BaseModel, resolve_model

SMALL = {
    "vocab_size": 49152,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
CONFIGS = {
    "sliding window": MistralConfig(**SMALL, sliding_window=16),
    "capped logits": Gemma2Config(**SMALL, head_dim=8, sliding_window=16),
    "convolutions": Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]),
}
THINGS = ["sky", "grass of a very long meadow in the far and cold north of the country", "blood", "a"]


@pytest.fixture(scope="module", params=CONFIGS)
def engine(request: Any, embedded_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder: Path = tmp_path_factory.mktemp("other")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGS[request.param]).save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded_model.path).save_pretrained(folder)
    return TransformersEngine(resolve_model(str(folder)), EngineConfig(device="cpu"))


@pytest.mark.parametrize("whole", [False, True])
def test_label_scores_do_not_depend_on_the_batch(engine: TransformersEngine, whole: bool) -> None:
    labels = ("red", "green", "dark blue")
    asked = [Request((Message("user", f"Thing: {thing}"),), labels=labels, whole=whole) for thing in THINGS]
    alone = [engine.generate([one])[0].label_logprobs for one in asked]
    assert [answer.label_logprobs for answer in engine.generate(asked)] == [
        pytest.approx(one, abs=1e-5) for one in alone
    ]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_depend_neither_on_the_batch_nor_on_earlier_ones(
    engine: TransformersEngine, temperature: float
) -> None:
    sampling = Sampling(temperature, max_tokens=10)
    asked = [Request((Message("user", f"Thing: {thing}"),), sampling=sampling) for thing in THINGS]
    engine.forget()
    alone = [engine.generate([one])[0] for one in asked]
    assert engine.generate(asked) == alone
    assert engine.generate(asked) == alone
