"""Attention by oneDNN's products gives the same numbers as attention written out, for long float32 prompts only."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from bt_core.config import EngineConfig
from bt_core.engine.cpu import wide_attention
from bt_core.engine.local import attention
from bt_core.engine.local.forward import Batch
from bt_core.engine.local.transformers_engine import load_base
from bt_core.models import BaseModel


def written_out(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pads: list[int]) -> torch.Tensor:
    """Causal attention after each row's padding, in float64, [B, S, H, D]."""
    group, new = query.shape[1] // key.shape[1], query.shape[2]
    scores = query.double() @ key.double().repeat_interleave(group, 1).transpose(2, 3) * 0.125
    place = torch.arange(new)
    seen = (place[:, None] >= place) & (place >= torch.tensor(pads)[:, None, None])
    shares = torch.softmax(scores.masked_fill(~seen[:, None], float("-inf")), -1)
    return (shares @ value.double().repeat_interleave(group, 1)).transpose(1, 2)


@pytest.mark.parametrize("block", [1, 5_000, 1_000_000])
@pytest.mark.parametrize(("heads", "kv_heads"), [(9, 3), (4, 4), (4, 1)])
@pytest.mark.parametrize("pads", [[0, 0, 0], [0, 3, 40]])
def test_it_is_equal_to_attention_written_out(
    heads: int, kv_heads: int, pads: list[int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_attention, "BLOCK", block)
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 70, number, 64).transpose(1, 2) for number in (heads, kv_heads, kv_heads))
    hidden = torch.finfo(torch.float32).min
    mask = torch.stack([torch.arange(70) < count for count in pads]).float()[:, None, None] * hidden

    output = wide_attention.wide_attention(query, key, value, 0.125, mask if any(pads) else None)

    assert torch.isfinite(output).all()
    expected = written_out(query, key, value, pads)
    for row, count in enumerate(pads):
        torch.testing.assert_close(output[row, count:].double(), expected[row, count:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [(230, 230), (230, 190, 1)])
def test_long_prompts_have_the_logits_of_transformers(
    tiny_model: BaseModel, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    inner = wide_attention.wide_attention
    monkeypatch.setattr(attention, "wide_attention", lambda *args: (taken.append(1), inner(*args))[1])
    plain = AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32).eval()
    ours, tokenizer = load_base(tiny_model, EngineConfig(device="cpu", dtype="float32"), attention.ATTENTION)
    torch.manual_seed(0)
    rows = [tuple(torch.randint(5, 200, (length,)).tolist()) for length in lengths]

    batch = Batch(ours, [None] * len(rows), tokenizer.pad_token_id or 0)
    with torch.inference_mode():
        batch.extend(rows)
        expected = torch.stack([plain(torch.tensor([row])).logits[0, -1] for row in rows])

    assert len(taken) == ours.config.num_hidden_layers - 1, "the last layer computes only its last position"
    torch.testing.assert_close(batch.logits[:, -1], expected, rtol=1e-4, atol=1e-4)


def test_every_product_is_by_a_matrix_without_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, weights = wide_attention.linear, []
    monkeypatch.setattr(wide_attention, "linear", lambda rows, weight: (weights.append(weight), inner(rows, weight))[1])
    query, key, value = (torch.randn(2, 70, number, 64).transpose(1, 2) for number in (9, 3, 3))

    wide_attention.wide_attention(query, key, value, 0.125, None)

    assert len(weights) == 2 * 2 * 3
    assert all(weight.is_contiguous() or weight.t().is_contiguous() for weight in weights)


def test_short_prompts_and_other_number_formats_keep_torchs_kernel() -> None:
    long, short = torch.zeros(2, 9, 200, 64), torch.zeros(2, 9, 100, 64)

    assert wide_attention.is_wide(long, long[:, :3])
    assert not wide_attention.is_wide(short, short[:, :3])
    assert not wide_attention.is_wide(long.bfloat16(), long[:, :3].bfloat16())
    assert not wide_attention.is_wide(long.to("meta"), long[:, :3].to("meta"))
