"""Training rows as token ids, and packed or padded batches of them, with labels only on the completions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bt_core.engine.base import TrainingRow
from bt_core.engine.tokens.chat_template import ChatTemplate
from bt_core.engine.training.packing import IGNORED, Item, Price, pack


def encode(template: ChatTemplate, row: TrainingRow) -> dict[str, list[int]]:
    """Tokens of prompt and completion, made in the same way as by the engines; only the completion has labels."""
    prompt = template.render(row.messages)
    answer = [*template.spell(row.completion), template.end]
    return {"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer}


@dataclass(frozen=True)
class Collator:
    """Makes a batch of rows: packed where that takes fewer operations, otherwise padded.

    Args:
        pad: the token that pads shorter rows.
        price: what tokens cost in the model; None: the model takes only padded batches.
    """

    pad: int
    price: Price | None = None

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        if self.price is not None:
            packed = pack(items)
            width = max(len(item["input_ids"]) for item in items)
            if self.price(1, packed["input_ids"].shape[1]) < self.price(len(items), width):
                return packed
        return self.padded(items)

    def padded(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Every row for itself, padded on the left: [B, S] ids, mask, positions and labels."""
        width = max(len(item["input_ids"]) for item in items)
        gaps = [width - len(item["input_ids"]) for item in items]
        mask = torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps])
        return {
            "input_ids": torch.tensor(
                [[self.pad] * gap + item["input_ids"] for gap, item in zip(gaps, items, strict=True)]
            ),
            "labels": torch.tensor([[IGNORED] * gap + item["labels"] for gap, item in zip(gaps, items, strict=True)]),
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        }
