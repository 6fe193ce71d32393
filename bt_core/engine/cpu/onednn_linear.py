"""Products with frozen weights by oneDNN on CPU, two to four times as fast as torch's own where MKL is slow.

In float32 torch multiplies by MKL, which uses no AVX-512 on processors that are not Intel's, and which lays out the
weights anew for every batch. oneDNN uses what the processor has, and takes weights that were laid out once
(docs/LOG.md).
"""

from typing import Any

import torch
from torch import Tensor


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[..., in] times [out, in] to [..., out], by the operation that torch's compiler uses for linear layers on CPU."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class OneDnnLinear(torch.nn.Linear):
    """A frozen linear layer. In oneDNN's own layout of the weight, gradients cost more."""

    def __init__(self, linear: torch.nn.Linear, lay_out: bool) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        weight = linear.weight.detach()
        self.weight = torch.nn.Parameter(
            torch.ops.mkldnn._reorder_linear_weight(weight) if lay_out else weight, requires_grad=False
        )
        self.bias = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """From [..., in features] to [..., out features]."""
        if not torch.is_grad_enabled():
            return linear(rows, self.weight, self.bias)
        product: Tensor = _Product.apply(rows, self.weight, self.bias)
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return linear(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return linear(gradients[0], ctx.weight.t()), None, None


def onednn_multiplies(device: str, dtype: torch.dtype) -> bool:
    """Whether weights of this number format are multiplied by oneDNN on this device."""
    return device == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available()


def multiply_by_onednn(model: Any, lay_out: bool) -> None:
    """Replace a frozen model's linear layers where `onednn_multiplies`.

    Args:
        model: the model, on its device and in its number format.
        lay_out: whether to keep weights in oneDNN's layout, for a model through which no gradient passes; narrow
            batches gain most.
    """
    if not onednn_multiplies(model.device.type, model.dtype):
        return
    for name, module in list(model.named_modules()):
        if type(module) is torch.nn.Linear:
            model.set_submodule(name, OneDnnLinear(module, lay_out))
