"""How much memory a training needs, computed from the model's files; docs/training.md has the sum with its sources.

With LoRA on a frozen base model, no weight of the base has a gradient, so an operation keeps only what the gradient of
its input needs. Counted as by Korthikanti et al. 2022 (arXiv 2205.05198, section 4), for the layers of a Llama.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bt_core.config import LoraConfig
from bt_core.engine.model_memory import GB, parameters
from bt_core.engine.training.job import MemoryPlan
from bt_core.engine.training.targets import ALL_LINEAR
from bt_core.models import BaseModel

#: Bytes of a float32 number.
FLOAT = 4
#: Bytes for a trained weight: itself, its gradient and Adam's two moments, each in float32 (Rajbhandari et al.
#: 2020, arXiv 1910.02054, section 3.1, without the half-precision copy).
TRAINED = 4 * FLOAT
#: Bytes for a weight in 4-bit NormalFloat with its quantised scale (Dettmers et al. 2023, arXiv 2305.14314).
NF4 = 4.127 / 8


@dataclass(frozen=True)
class TrainingNeed:
    """The bytes needed on one device: frozen weights, LoRA with gradients and optimiser, activations, logits."""

    weights: int
    adapter: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.logits

    def __str__(self) -> str:
        parts = f"weights {self.weights / GB:.2f}, LoRA and optimiser {self.adapter / GB:.2f}"
        work = f"activations {self.activations / GB:.2f}, logits {self.logits / GB:.2f}"
        return f"{self.total / GB:.2f} GB ({parts}, {work})"


@dataclass(frozen=True)
class Layers:
    """The sizes of a Llama-like model; `attention` is heads, and `keys` key-value heads, times head size."""

    count: int
    hidden: int
    heads: int
    attention: int
    keys: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Layers":
        """The sizes in a model's configuration (config.json)."""
        heads = int(config["num_attention_heads"])
        head = int(config.get("head_dim") or config["hidden_size"] // heads)
        return cls(
            int(config["num_hidden_layers"]),
            int(config["hidden_size"]),
            heads,
            heads * head,
            int(config.get("num_key_value_heads") or heads) * head,
            int(config["intermediate_size"]),
            int(config["vocab_size"]),
        )

    @property
    def weights(self) -> int:
        """How many weights one layer has in its products."""
        return sum(width * height for width, height in self._sizes.values())

    def adapter_weights(self, rank: int, targets: Sequence[str]) -> int:
        """How many weights LoRA's A and B have on the named projections of all layers."""
        return self.count * rank * sum(sum(self._sizes[name]) for name in self._adapted(targets))

    def token_bytes(self, number_bytes: int, targets: Sequence[str], rank: int, length: int) -> int:
        """The bytes that a layer keeps for one token, for the backward pass.

        Each of the two norms keeps its input in float32 and a factor. Attention keeps queries, keys, values, output,
        each head's log-sum-exp and the token's row of the mask. The gated layer keeps its gate, its activated gate and
        the other side of their product. Each adapted projection keeps the inputs of A and of B; an input that several
        projections share is kept once.

        Args:
            number_bytes: of a number of the base model.
            targets: the projections with LoRA.
            rank: of LoRA.
            length: tokens of the sequence.
        """
        norms = 2 * FLOAT * (self.hidden + 1)
        attention = number_bytes * (4 * self.attention + length) + FLOAT * self.heads
        gated = number_bytes * 3 * self.intermediate
        inputs = {"q_proj": "a", "k_proj": "a", "v_proj": "a", "o_proj": "o", "gate_proj": "m", "up_proj": "m"}
        projections = self._adapted(targets)
        shared = {inputs.get(name, name) for name in projections}
        widths = {"a": self.hidden, "o": 0, "m": self.hidden, "down_proj": self.intermediate}  # o: attention's output
        adapted = number_bytes * (sum(widths[kind] for kind in shared) + rank * len(projections))
        return norms + attention + gated + adapted

    def _adapted(self, targets: Sequence[str]) -> set[str]:
        """The projections that the names mean; a name may be the end of a layer's path, or all of it."""
        if tuple(targets) == (ALL_LINEAR,):
            return set(self._sizes)
        return {target.rpartition(".")[2] for target in targets} & self._sizes.keys()

    @property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        return {
            "q_proj": (self.hidden, self.attention),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.attention, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }


def training_need(
    model: BaseModel, settings: LoraConfig, plan: MemoryPlan, length: int, answer: int, number_bytes: int
) -> TrainingNeed | None:
    """The bytes at the peak of a step on the longest rows; None where config.json is not that of a Llama-like model.

    Args:
        model: the base model.
        settings: the settings of `w`.
        plan: how many sequences are in memory at a time, and whether activations are computed again.
        length: tokens of the longest row.
        answer: tokens of the longest completion, for which logits are computed.
        number_bytes: of a number of the base model: 2 in bfloat16, 4 in float32.
    """
    try:
        layers = Layers.of(json.loads((model.path / "config.json").read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError):
        return None
    tokens = plan.micro_batch * length
    in_layer = layers.token_bytes(number_bytes, settings.target_modules, settings.rank, length) * tokens
    positions = 2 * layers.attention // layers.heads * number_bytes * tokens  # sines and cosines
    inputs = layers.count * layers.hidden * number_bytes * tokens
    # At the loss there are the logits in the model's number format and in float32, their log-softmax, and its gradient.
    logits = plan.micro_batch * (answer + 1) * layers.vocabulary * (number_bytes + 3 * FLOAT)
    weights = parameters(model)
    frozen = weights * number_bytes
    if settings.quantize == "4bit":
        embedding = layers.vocabulary * layers.hidden
        frozen = round((weights - embedding) * NF4) + embedding * number_bytes
    return TrainingNeed(
        weights=frozen,
        adapter=layers.adapter_weights(settings.rank, settings.target_modules) * TRAINED,
        activations=positions + (inputs + in_layer if plan.checkpointing else layers.count * in_layer),
        logits=logits,
    )
