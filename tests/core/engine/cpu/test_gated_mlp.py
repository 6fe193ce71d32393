"""Gated blocks that compute in place give the same floats, and replace no block that computes something else."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from bt_core.engine.cpu.gated_mlp import GatedInPlace, gate_in_place

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}


def model(activation: str = "silu") -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL, hidden_act=activation)).eval().requires_grad_(False)


@pytest.mark.parametrize("activation", ["silu", "gelu_pytorch_tanh", "linear"])
def test_a_model_gives_the_same_floats(activation: str) -> None:
    small, tokens = model(activation), torch.arange(40).view(2, 20)
    with torch.inference_mode():
        expected = small(tokens).logits
        names = [name for name, _ in small.named_modules()]
        gate_in_place(small)
        found = small(tokens).logits

    assert torch.equal(found, expected)
    assert len([block for block in small.modules() if isinstance(block, GatedInPlace)]) == 2
    assert [name for name, _ in small.named_modules()] == names, "adapters find their layers by name"


def test_the_input_is_not_changed() -> None:
    block, rows = GatedInPlace(LlamaMLP(LlamaConfig(**SMALL))), torch.randn(3, 5, 48)
    before = rows.clone()
    with torch.inference_mode():
        block(rows)

    assert torch.equal(rows, before)


class Doubled(LlamaMLP):
    """A block with the same parts that does something else with them."""

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = 2 * super().forward(x)
        return doubled


def test_another_block_with_the_same_parts_is_not_replaced() -> None:
    small = model()
    small.model.layers[0].mlp = Doubled(small.config)
    gate_in_place(small)

    assert type(small.model.layers[0].mlp) is Doubled
    assert type(small.model.layers[1].mlp) is GatedInPlace
