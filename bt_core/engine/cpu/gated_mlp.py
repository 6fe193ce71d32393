"""Gated feed-forward blocks, `down(act(gate(x)) * up(x))`, computed in the memory of the gate's product.

Each step of such a block (Shazeer 2020, arXiv 2002.05202) fills [tokens, intermediate] floats, the widest tensors in a
model. In new memory for each step they leave a CPU's caches, and the system has to clear their pages (docs/LOG.md,
"Pages").
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class GatedInPlace(torch.nn.Module):
    """Replaces a gated block and keeps its layers under their names. No gradient can pass through it."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        for name, part in block.named_children():
            self.add_module(name, part)
        sample = torch.linspace(-2.0, 2.0, 9)
        self._is_silu = torch.equal(self.act_fn(sample), functional.silu(sample))

    def forward(self, rows: Tensor) -> Tensor:
        """From [..., hidden] to [..., hidden]."""
        gate = self.gate_proj(rows)
        opened = functional.silu(gate, inplace=True) if self._is_silu else self.act_fn(gate)
        output: Tensor = self.down_proj(opened.mul_(self.up_proj(rows)))
        return output


def gate_in_place(model: Any) -> None:
    """Replace a frozen model's gated blocks, where the first block of a class gives the same floats either way."""
    same: dict[type, bool] = {}
    for name, block in list(model.named_modules()):
        if {part for part, _ in block.named_children()} == _PARTS and isinstance(block.gate_proj, torch.nn.Linear):
            kind = type(block)
            same[kind] = same[kind] if kind in same else _is_same(block)
            if same[kind]:
                model.set_submodule(name, GatedInPlace(block))


def _is_same(block: Any) -> bool:
    gate = block.gate_proj
    rows = torch.linspace(-1.0, 1.0, 3 * gate.in_features).view(3, -1).to(gate.weight.dtype)
    with torch.inference_mode():
        same: bool = torch.equal(GatedInPlace(block)(rows), block(rows))
        return same
