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

ATTENTION = "bt_shared_prefix"


@dataclass(frozen=True)
class SharedPrefix:
    """Keys and values of the shared prefix, a [1, K, P, D] pair per layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    @property
    def length(self) -> int:
        return int(self.layers[0][0].shape[2])


def attention_with_lse(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp: ([B, H, S, D], [B, H, S]); `mask` is additive."""
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
    shared_prefix: SharedPrefix | None = None,
    suffix_mask: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in every layer.

    `suffix_mask` is additive, [B, 1, 1, T], and needed once pads lie between suffix and new tokens; without
    it the new tokens are the whole suffix and attend causally (pads on the right harm nobody before them).
    """
    rows, heads, new, size = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    scale = size**-0.5 if scaling is None else scaling
    wide_key, wide_value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    causal = suffix_mask is None and new > 1
    out, lse = attention_with_lse(query, wide_key, wide_value, scale, causal, suffix_mask)
    if shared_prefix is not None:
        prefix_key, prefix_value = shared_prefix.layers[module.layer_idx]
        # All rows' queries of one key-value head in one product: [1, K, B * G * S, D] against [1, K, P, D].
        flat = (
            query.reshape(rows, kv_heads, group * new, size)
            .transpose(0, 1)
            .reshape(1, kv_heads, rows * group * new, size)
        )
        pre_out, pre_lse = attention_with_lse(flat, prefix_key, prefix_value, scale, False, None)
        pre_out = pre_out.view(kv_heads, rows, group * new, size).transpose(0, 1).reshape(rows, heads, new, size)
        pre_lse = pre_lse.view(kv_heads, rows, group * new).transpose(0, 1).reshape(rows, heads, new)
        share = torch.sigmoid(pre_lse - lse)[..., None].to(out.dtype)
        out = pre_out * share + out * (1 - share)
    return out.transpose(1, 2).contiguous(), None


def register() -> None:
    """Make the attention known to transformers, under `ATTENTION`; masks are ours to build."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, shared_prefix_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *args, **kwargs: None)


def supports(config: Any) -> bool:
    """Whether a model's attention is plain causal softmax, which the identity above needs."""
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return not windowed and not getattr(config, "attn_logit_softcapping", None)
