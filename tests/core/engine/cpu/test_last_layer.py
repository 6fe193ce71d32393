"""The last layer, computed where logits are needed, gives the same logits in prompts and in answers."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from bt_core.config import EngineConfig
from bt_core.engine.cpu.last_layer import LastLayer, compute_where_needed
from bt_core.engine.local import attention
from bt_core.engine.local.forward import Batch, Prefix, prefix_pass
from bt_core.engine.local.transformers_engine import load_base
from bt_core.models import BaseModel
from tests.core.engine.cpu.test_gated_mlp import model

START = tuple(range(20, 37))
PROMPTS = [tuple(range(40, 49)), tuple(range(60, 72)), tuple(range(80, 85))]
MORE = [(3, 4, 5), (6, 7, 8), (9,)]


@pytest.fixture(scope="module")
def ours(tiny_model: BaseModel) -> Any:
    return load_base(tiny_model, EngineConfig(device="cpu", dtype="float32"), attention.ATTENTION)[0]


@pytest.fixture(scope="module")
def plain(tiny_model: BaseModel) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32).eval()


def expected(plain: Any, row: tuple[int, ...], logit_count: int) -> Any:
    with torch.inference_mode():
        return plain(torch.tensor([row])).logits[0, -logit_count:]


@pytest.mark.parametrize("logit_count", [1, 2])
@pytest.mark.parametrize("start", [(), START], ids=["alone", "behind a prefix"])
def test_logits_are_the_models(ours: Any, plain: Any, start: tuple[int, ...], logit_count: int) -> None:
    assert isinstance(ours.model.layers[-1], LastLayer)
    with torch.inference_mode():
        prefix: Prefix | None = prefix_pass(ours, {start: None}, 0)[0] if start else None
        batch = Batch(ours, [prefix] * 3, 0)
        batch.extend(PROMPTS, logit_count)
        first = batch.logits
        batch.extend(MORE)

    assert first.shape[1] == logit_count
    for row, (prompt, more) in enumerate(zip(PROMPTS, MORE, strict=True)):
        torch.testing.assert_close(first[row], expected(plain, start + prompt, logit_count), rtol=1e-4, atol=1e-4)
        whole = expected(plain, start + prompt + more, 1)
        torch.testing.assert_close(batch.logits[row], whole, rtol=1e-4, atol=1e-4)


def test_by_default_all_positions_are_computed(plain: Any) -> None:
    exchanged = AutoModelForCausalLM.from_pretrained(plain.name_or_path, dtype=torch.float32).eval()
    compute_where_needed(exchanged)
    tokens = torch.arange(30)[None]
    with torch.inference_mode():
        assert isinstance(exchanged.model.layers[-1], LastLayer)
        assert torch.equal(exchanged(tokens).logits, plain(tokens).logits)


class Halved(LlamaDecoderLayer):
    """A layer with the same parts that does something else with them."""

    def forward(self, *arguments: Any, **more: Any) -> Tensor:
        halved: Tensor = super().forward(*arguments, **more) / 2
        return halved


def test_another_layer_with_the_same_parts_is_not_replaced() -> None:
    small = model()
    small.model.layers[-1] = Halved(small.config, layer_idx=1)
    compute_where_needed(small)

    assert type(small.model.layers[-1]) is Halved
