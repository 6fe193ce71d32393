"""Products by oneDNN give the same numbers as torch's own, forwards and backwards, in float32 on CPU only."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from bt_core.config import EngineConfig
from bt_core.engine.cpu.onednn_linear import OneDnnLinear, multiply_by_onednn, onednn_multiplies
from bt_core.engine.local import attention
from bt_core.engine.local.transformers_engine import load_base
from bt_core.models import BaseModel


def linear(inputs: int, outputs: int, bias: bool) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lay_out", [False, True])
@pytest.mark.parametrize("shape", [(576,), (1, 576), (7, 576), (3, 5, 576), (300, 576)])
def test_a_product_is_equal_to_torchs(shape: tuple[int, ...], lay_out: bool, bias: bool) -> None:
    layer, rows = linear(576, 192, bias), torch.randn(shape)

    torch.testing.assert_close(OneDnnLinear(layer, lay_out)(rows), layer(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lay_out", [False, True])
def test_rows_may_be_a_view(lay_out: bool) -> None:
    layer, rows = linear(576, 192, False), torch.randn(4, 9, 1152)[:, -1:, ::2]

    torch.testing.assert_close(OneDnnLinear(layer, lay_out)(rows), layer(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lay_out", [False, True])
def test_the_gradient_of_the_rows_is_equal_to_torchs(lay_out: bool) -> None:
    layer, rows = linear(576, 192, True), torch.randn(3, 50, 576, requires_grad=True)
    weighing = torch.randn(3, 50, 192)

    (expected,) = torch.autograd.grad((layer(rows) * weighing).sum(), rows)
    (found,) = torch.autograd.grad((OneDnnLinear(layer, lay_out)(rows) * weighing).sum(), rows)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lay_out", [False, True])
def test_a_model_gives_the_same_logits(tiny_model: BaseModel, lay_out: bool) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32).requires_grad_(False)
    tokens = torch.arange(40).view(2, 20)
    with torch.no_grad():
        expected = model(tokens).logits
        multiply_by_onednn(model, lay_out)
        found = model(tokens).logits

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]


def test_only_a_model_without_gradients_is_laid_out(tiny_model: BaseModel) -> None:
    settings = EngineConfig(device="cpu", dtype="float32")
    for name, laid_out in ((attention.ATTENTION, True), (None, False)):
        model, _ = load_base(tiny_model, settings, name)
        assert {layer.weight.is_mkldnn for layer in model.modules() if isinstance(layer, OneDnnLinear)} == {laid_out}


def test_other_number_formats_and_devices_keep_torchs_layers(tiny_model: BaseModel) -> None:
    model, _ = load_base(tiny_model, EngineConfig(device="cpu", dtype="bfloat16"), attention.ATTENTION)

    assert not [layer for layer in model.modules() if isinstance(layer, OneDnnLinear)]
    assert not onednn_multiplies("cuda", torch.float32)


def test_the_layout_replaces_the_weight() -> None:
    layer = OneDnnLinear(linear(64, 64, False), lay_out=True)

    assert [parameter.is_mkldnn for parameter in layer.parameters()] == [True]
    assert not list(layer.buffers())
