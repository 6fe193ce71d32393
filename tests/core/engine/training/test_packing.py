"""Packed batches have the loss and gradients of padded ones with fewer tokens, where the model allows packing."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Lfm2Config, LlamaConfig, MambaConfig, MistralConfig, Qwen2Config

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.local.transformers_engine import load_base
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.layers import with_lora
from bt_core.engine.training.packing import IGNORED, Item, Price, pack, packs
from bt_core.engine.training.rows import Collator, encode
from bt_core.engine.training.train import train_adapter
from bt_core.engine.training.trainer import CompletionTrainer
from bt_core.models import BaseModel

CPU = EngineConfig(device="cpu")
SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def item(prompt: list[int], answer: list[int]) -> Item:
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def shared(start: int, count: int = 20) -> list[int]:
    return list(range(start, start + count))


#: Two prefixes, a row of its own, one prompt twice, answers of one token and of several.
ITEMS = [
    item([*shared(100), 7, 8], [9]),
    item([*shared(200), 5], [6, 7, 8]),
    item([*shared(100), 3], [4, 5]),
    item([50, 51, 52], [53, 54]),
    item([*shared(200), 9, 9, 9], [1]),
    item([*shared(100), 3], [8, 8, 8, 8]),
]


def _loss_and_gradients(model: torch.nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad()
    loss = CompletionTrainer.compute_loss(None, model, dict(batch))
    loss.backward()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in trained)
    return loss.detach(), [weight.grad.clone() for weight in trained if weight.grad is not None]


def test_loss_and_gradients_are_those_of_the_padded_batch(tiny_model: BaseModel) -> None:
    torch.manual_seed(0)
    model = with_lora(load_base(tiny_model, CPU)[0], LoraConfig(rank=4))
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first, which would leave A without gradients
            torch.nn.init.normal_(weight, std=0.1)
    loss, gradients = _loss_and_gradients(model, pack(ITEMS))
    expected, padded = _loss_and_gradients(model, Collator(2).padded(ITEMS))
    assert loss == pytest.approx(float(expected), rel=1e-5)
    for one, two in zip(gradients, padded, strict=True):
        assert float(two.norm()) > 0
        assert float((one - two).norm()) < 1e-4 * float(two.norm())


def test_a_shared_prefix_occurs_once() -> None:
    batch = pack(ITEMS)
    ids = batch["input_ids"][0].tolist()
    assert [ids.count(first) for first in (100, 200, 50)] == [1, 1, 1]
    alone = sum(len(one["input_ids"]) - 1 for one in ITEMS)
    assert len(ids) == alone - 2 * 20 - 1 * 20
    answers = sorted(token for one in ITEMS for token in one["labels"] if token != IGNORED)
    assert sorted(batch["labels"][0, 1:].tolist()) == answers
    assert batch["labels"].shape[1] == len(batch["logit_positions"]) + 1


def test_no_token_attends_to_another_row() -> None:
    batch = pack(ITEMS)
    ids, seen = batch["input_ids"][0].tolist(), batch["attention_mask"][0, 0]
    last = ids.index(53)  # the only row that shares no prefix
    assert [ids[place] for place in seen[last].nonzero().flatten()] == [50, 51, 52, 53]
    assert batch["position_ids"][0, last] == 3
    own = ids.index(6)
    assert [ids[place] for place in seen[own].nonzero().flatten()] == [*shared(200), 5, 6]


def test_long_rows_that_share_nothing_are_padded() -> None:
    price = Price.of(LlamaConfig(**SMALL))
    assert price is not None
    collate = Collator(2, price)
    long = [item([start, *shared(start, 400)], [1]) for start in (100, 600, 1_100)]
    assert "logit_positions" not in collate(long)
    assert "logit_positions" in collate(ITEMS)
    assert "logit_positions" not in Collator(2)(ITEMS)


@pytest.mark.parametrize(
    ("config", "can"),
    [
        (LlamaConfig(**SMALL), True),
        (Qwen2Config(**SMALL), True),
        (MistralConfig(**SMALL, sliding_window=16), False),
        (Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]), False),
        (MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2), False),
    ],
    ids=["llama", "qwen2", "sliding window", "convolutions", "states"],
)
def test_only_models_that_follow_the_mask_are_packed(config: object, can: bool) -> None:
    torch.manual_seed(0)
    assert packs(AutoModelForCausalLM.from_config(config).eval()) is can


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_packs_rows_of_one_instruction(
    dropout: float, tiny_model: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    original = CompletionTrainer.compute_loss

    def watched(self: object, model: object, inputs: dict[str, Tensor], *rest: object, **more: object) -> object:
        seen.append(dict(inputs))
        return original(self, model, inputs, *rest, **more)

    monkeypatch.setattr(CompletionTrainer, "compute_loss", watched)
    system = Message("system", "Name the colour of the thing, as a person would who never read a book about colours.")
    rows = [TrainingRow((system, Message("user", f"Thing {n}")), "blue") for n in range(8)]
    settings = LoraConfig(rank=2, epochs=1, batch_size=4, dropout=dropout)
    train_adapter(TrainingJob(tiny_model, tuple(rows), tuple(rows[:2]), settings, CPU, 0), tmp_path)
    assert len(seen) == 3
    whole = 4 * len(encode(Vocabulary.load(tiny_model).template, rows[0])["input_ids"])
    for batch in seen[:2]:
        assert ("logit_positions" in batch) is (not dropout)
        assert (batch["input_ids"].numel() < whole / 2) is (not dropout)
