"""Attention over a prefix that many rows of a batch share, stored once and never copied for each row.

Attention over [prefix; suffix] equals the two attentions weighted by their log-sum-exp:
`o = o_prefix * s + o_suffix * (1 - s)` with `s = sigmoid(lse_prefix - lse_suffix)`. The identity is exact;
FlashAttention uses it for its blocks (Dao et al. 2022, arXiv 2205.14135), and cascade inference for shared prefixes.

Shapes: B rows, H query heads, K key-value heads, G = H / K, S new tokens, T cached suffix tokens, P prefix
tokens, D head size.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bt_core.engine.cpu.wide_attention import is_wide, wide_attention

ATTENTION = "bt_shared_prefix"


Layers = tuple[tuple[Tensor, Tensor], ...]
"""The keys and values of one prefix: a pair of [1, K, P, D] for each layer."""


@dataclass(frozen=True)
class SharedPrefixes:
    """Which rows of a batch follow which prefix: (first row, end row, layers), in the order of rows.

    A batch may hold rows of several prefixes, and rows without one. Only the attention treats them differently; all
    other work is done on the whole batch.
    """

    segments: tuple[tuple[int, int, Layers], ...]


def attention_with_lse(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention [B, H, S, D] and its log-sum-exp [B, H, S]; here K equals H. `mask` is additive, [B, 1, 1 or S, T]."""
    if query.device.type == "cpu" and query.dtype in (torch.float32, torch.bfloat16):
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = flash(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)
        return out, lse.reshape(query.shape[:3]).to(torch.float32)
    scores = (query @ key.transpose(-1, -2)).to(torch.float32) * scale
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    if mask is not None:
        scores = scores + mask
    lse = torch.logsumexp(scores, dim=-1)
    return torch.exp(scores - lse[..., None]).to(value.dtype) @ value, lse


def shared_prefix_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    shared_prefixes: SharedPrefixes | None = None,
    suffix_mask: Tensor | None = None,
    last_alone: bool = False,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in every layer.

    New tokens that are the whole suffix attend causally. `suffix_mask` is additive, [B, 1, 1 or S, T], and hides
    further suffix tokens. With `last_alone` only the last position is computed, which attends to all of them.
    """
    new = query.shape[2]
    if last_alone and new > 1:
        query, mask = query[:, :, -1:], None if suffix_mask is None else suffix_mask[:, :, -1:]
        last = shared_prefix_attention(module, query, key, value, None, scaling, shared_prefixes, mask)[0]
        return torch.nn.functional.pad(last, (0, 0, 0, 0, new - 1, 0)), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    causal = new == key.shape[2]
    segments = shared_prefixes.segments if shared_prefixes else ()
    if causal and not segments and is_wide(query, key):
        return wide_attention(query, key, value, scale, suffix_mask), None
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    out, lse = attention_with_lse(query, key, value, scale, causal, suffix_mask)
    for first, end, layers in segments:
        prefix_key, prefix_value = layers[module.layer_idx]
        pre_out, pre_lse = _attend_prefix(query[first:end], prefix_key, prefix_value, scale)
        share = torch.sigmoid(pre_lse - lse[first:end])[..., None].to(out.dtype)
        out[first:end] = pre_out * share + out[first:end] * (1 - share)
    return out.transpose(1, 2).contiguous(), None


def _attend_prefix(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """All rows' queries against one prefix: for each key-value head one product, [B * G * S, D] times [P, D]."""
    rows, heads, new, size = query.shape
    kv_heads = key.shape[1]
    each = heads // kv_heads * new
    flat = query.reshape(rows, kv_heads, each, size).transpose(0, 1).reshape(1, kv_heads, rows * each, size)
    out, lse = attention_with_lse(flat, key, value, scale, False, None)
    out = out.view(kv_heads, rows, each, size).transpose(0, 1).reshape(rows, heads, new, size)
    return out, lse.view(kv_heads, rows, each).transpose(0, 1).reshape(rows, heads, new)


def register() -> None:
    """Register the attention with transformers under the name `ATTENTION`; we build its masks ourselves."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, shared_prefix_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *args, **kwargs: None)


def supports(config: Any) -> bool:
    """Whether a model's attention is plain causal softmax in every layer, as the identity above requires."""
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return False
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return not windowed and not getattr(config, "attn_logit_softcapping", None)
