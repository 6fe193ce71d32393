"""A training batch packed into one sequence, in which a prefix that rows share occurs once.

    [prefix of group 1][rest of row 1][rest of row 2] ... [prefix of group 2][rest of row 5] ...

Each token attends to earlier tokens of its own row and to its group's prefix, and keeps the position that it has in
its row, so losses and gradients are those of the padded batch, up to rounding. Packing saves padding, the last token
of each row, which predicts nothing, and all but one copy of a prefix. Attention computes every pair of tokens in the
sequence, also of different rows, so long rows that share little are cheaper when padded: `Price` decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bt_core.engine.local import attention
from bt_core.engine.local.grouping import prefix_groups
from bt_core.engine.training.memory import Layers

#: The label of a token that the loss ignores.
IGNORED = -100

Item = Mapping[str, list[int]]
"""`input_ids` of prompt and completion, and `labels`: the same for the completion, `IGNORED` for the prompt."""


@dataclass(frozen=True)
class Price:
    """Operations in a layer: for a token, and for a pair of tokens one of which attends to the other."""

    token: int
    pair: int

    @classmethod
    def of(cls, config: Any) -> "Price | None":
        """The price in a model with this configuration; None where its layers are not those of a Llama."""
        try:
            layers = Layers.of(config.to_dict())
        except (KeyError, TypeError, ValueError):
            return None
        return cls(2 * layers.weights, 4 * layers.attention)

    def __call__(self, rows: int, length: int) -> int:
        """Operations in a layer for so many rows of so many tokens."""
        return rows * length * (self.token + length * self.pair)


def pack(items: Sequence[Item]) -> dict[str, Tensor]:
    """Pack the batch into one sequence of L tokens.

    Returns:
        `input_ids` and `position_ids` [1, L]; `attention_mask` [1, 1, L, L], true where a token (third axis) attends to
        another (fourth); `logit_positions` [N], the positions whose logits predict a completion's token, row after row;
        `labels` [1, N + 1], those tokens after an ignored one, since the Trainer expects labels before the shift.
    """
    prompts = [tuple(item["input_ids"][: item["labels"].count(IGNORED)]) for item in items]
    tokens: list[int] = []
    positions: list[int] = []
    owners: list[tuple[int, int]] = []  # (group, row; -1 in the prefix)
    logit_positions: list[int] = []
    labels = [IGNORED]
    for number, group in enumerate(prefix_groups(prompts, overhead=0, nested=False)):
        shared = group.prefix
        tokens += prompts[group.members[0]][:shared]
        positions += range(shared)
        owners += [(number, -1)] * shared
        for row in group.members:
            rest = items[row]["input_ids"][shared:]
            answer = rest[len(prompts[row]) - shared :]
            tokens += rest[:-1]
            positions += range(shared, shared + len(rest) - 1)
            owners += [(number, row)] * (len(rest) - 1)
            logit_positions += range(len(tokens) - len(answer), len(tokens))
            labels += answer
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": _seen(torch.tensor(owners))[None, None],
        "logit_positions": torch.tensor(logit_positions),
        "labels": torch.tensor([labels]),
    }


def _seen(owners: Tensor) -> Tensor:
    """Which token attends to which, [L, L], from their groups and rows, [L, 2]."""
    groups, rows = owners[:, 0], owners[:, 1]
    same_row = (rows[None] == rows[:, None]) | (rows[None] == -1)
    return ((groups[None] == groups[:, None]) & same_row).tril()


def packs(model: Any) -> bool:
    """Whether the model computes the same logits for packed rows as for padded ones, tried on a few tokens.

    It does not if layers carry a state from token to token, have windows, or ignore our mask.
    """
    if not attention.supports(model.config):
        return False
    first, second, shared = (3, 5, 7), (11, 13, 17), tuple(range(20, 44))
    items = [{"input_ids": [*shared, *rest], "labels": [IGNORED] * 25 + list(rest[1:])} for rest in (first, second)]
    batch = pack(items)
    logit_positions = batch.pop("logit_positions").to(model.device)
    del batch["labels"]
    ids = torch.tensor([item["input_ids"][:-1] for item in items])
    try:
        with torch.inference_mode():
            packed = model(**{name: part.to(model.device) for name, part in batch.items()}, use_cache=False).logits
            padded = model(input_ids=ids.to(model.device), use_cache=False).logits
    except (RuntimeError, ValueError, TypeError):
        return False
    expected = padded[:, -2:].flatten(0, 1).float()
    rounding = torch.finfo(padded.dtype).eps ** 0.5 / 2  # 0.02 % in float32, 4 % in bfloat16
    return bool((packed[0, logit_positions].float() - expected).norm() <= rounding * expected.norm())
