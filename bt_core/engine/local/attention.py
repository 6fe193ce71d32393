"""Attention over a prefix that a whole batch shares, stored once and never copied per row.

Attention over [prefix; suffix] equals the two attentions weighed by their log-sum-exp:
`o = o_prefix * s + o_suffix * (1 - s)` with `s = sigmoid(lse_prefix - lse_suffix)`. The identity is exact;
it is the one behind FlashAttention's blocks (Dao et al. 2022, arXiv 2205.14135) and cascade inference.

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
"""Keys and values of one prefix, a [1, K, P, D] pair per layer."""


@dataclass(frozen=True)
class SharedPrefixes:
    """Which rows of a batch stand behind which prefix: (first row, end row, layers), in order of rows.

    A batch may hold rows of several prefixes, and rows of none: only the attention tells them apart, all other
    work is done on the whole batch.
    """

    segments: tuple[tuple[int, int, Layers], ...]


def attention_with_lse(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp: ([B, H, S, D], [B, H, S]); K is H here, `mask` additive, [B, 1, 1 or S, T]."""
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

    Where the new tokens are the whole suffix they attend causally. `suffix_mask` is additive, [B, 1, 1 or S, T], and
    says which suffix tokens are not seen beside that. With `last_alone` only the last position is computed, which sees
    them all.
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
    """All rows' queries against one prefix: per key-value head one product, [B * G * S, D] against [P, D]."""
    rows, heads, new, size = query.shape
    kv_heads = key.shape[1]
    each = heads // kv_heads * new
    flat = query.reshape(rows, kv_heads, each, size).transpose(0, 1).reshape(1, kv_heads, rows * each, size)
    out, lse = attention_with_lse(flat, key, value, scale, False, None)
    out = out.view(kv_heads, rows, each, size).transpose(0, 1).reshape(rows, heads, new, size)
    return out, lse.view(kv_heads, rows, each).transpose(0, 1).reshape(rows, heads, new)


def register() -> None:
    """Make the attention known to transformers, under `ATTENTION`; masks are ours to build."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, shared_prefix_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *args, **kwargs: None)


def supports(config: Any) -> bool:
    """Whether a model's attention is plain causal softmax in every layer, which the identity above needs."""
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return False
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return not windowed and not getattr(config, "attn_logit_softcapping", None)
