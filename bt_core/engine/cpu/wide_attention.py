"""Causal attention over a long prompt by oneDNN's products, on CPU.

torch's kernel multiplies by MKL (see `bt_core.engine.cpu.onednn_linear`). Here all queries of a key-value head are
multiplied by its keys in one product, without copies of keys and values for each query head. Shapes are those of
`bt_core.engine.local.attention`.
"""

from itertools import product

import torch
from torch import Tensor

from bt_core.engine.cpu.onednn_linear import linear, onednn_multiplies

#: From this many scores of one key-value head on, this is faster than torch's kernel (docs/LOG.md, "Pages").
WIDE = 1 << 16
#: Scores that are in memory at a time.
BLOCK = 200_000


def is_wide(query: Tensor, key: Tensor) -> bool:
    """Whether `wide_attention` is faster than torch's kernel here."""
    scores = query[0].numel() // query.shape[-1] * key.shape[2] // key.shape[1]
    return onednn_multiplies(query.device.type, query.dtype) and scores >= WIDE


def wide_attention(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """Causal attention of whole rows, [B, S, H, D]; `mask` is additive, [B, 1, 1, S]. No gradient can pass through."""
    rows, heads, new, size = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    step = max(1, BLOCK // (group * new))
    hidden = torch.full((new, new), float("-inf")).triu(1)
    query = query.view(rows, kv_heads, group, new, size)
    out = query.new_empty(rows, new, kv_heads, group, size)
    # oneDNN multiplies by a matrix with gaps between its rows many times slower.
    key, value = (key * scale).contiguous(), value.contiguous()
    for row, head in product(range(rows), range(kv_heads)):
        bias = hidden if mask is None else hidden + mask[row, 0]
        keys, values = key[row, head], value[row, head].t()
        for start in range(0, new, step):
            end = min(start + step, new)
            scores = linear(query[row, head, :, start:end].reshape(-1, size), keys[:end]).view(group, -1, end)
            shares = torch.softmax(scores.add_(bias[start:end, :end]), -1)
            part = linear(shares.view(-1, end), values[:, :end])
            out[row, start:end, head] = part.view(group, -1, size).transpose(0, 1)
    return out.view(rows, new, heads, size)
