"""How much memory a training takes, from the model's files alone; docs/training.md has the sum with its sources.

LoRA on a frozen base: no weight of the base has a gradient, so an operation keeps only what the gradient of its input
needs, in the way of Korthikanti et al. 2022 (arXiv 2205.05198, section 4), counted for the layers of a Llama.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bt_core.config import LoraConfig
from bt_core.engine.model_memory import GB, parameters
from bt_core.engine.training.job import MemoryPlan
from bt_core.models import BaseModel

FLOAT = 4
#: Bytes for a trained weight: itself, its gradient and Adam's two moments, each in float32 (Rajbhandari et al. 2020,
#: arXiv 1910.02054, section 3.1, less the half-precision copy).
TRAINED = 4 * FLOAT
#: Bytes for a weight in 4-bit NormalFloat, its quantised scale included (Dettmers et al. 2023, arXiv 2305.14314).
NF4 = 4.127 / 8


@dataclass(frozen=True)
class TrainingNeed:
    """Bytes on one device: frozen weights, LoRA with gradients and optimiser, activations, logits."""

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
    """Sizes of a Llama-like model. `attention` is heads times head size, `keys` that of all keys of a token."""

    count: int
    hidden: int
    heads: int
    attention: int
    keys: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Layers":
        """From the mapping in config.json."""
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
        """Weights in the products of one layer."""
        return sum(width * height for width, height in self._sizes.values())

    def adapter_weights(self, rank: int, targets: Sequence[str]) -> int:
        """Weights of LoRA's A and B on the named projections of every layer."""
        return self.count * rank * sum(sum(self._sizes[name]) for name in targets if name in self._sizes)

    def token(self, number: int, targets: Sequence[str], rank: int, length: int) -> int:
        """Bytes that a layer keeps for one token of a sequence of that length.

        Two norms keep their input in float32 with a factor each; attention its queries, keys, values, output, each
        head's log-sum and the token's row of the mask; the gated layer its gate, its activated gate and its product's
        other side; each adapted projection what goes into A and into B, the inputs that projections share once.
        """
        norms = 2 * FLOAT * (self.hidden + 1)
        attention = number * (4 * self.attention + length) + FLOAT * self.heads
        gated = number * 3 * self.intermediate
        inputs = {"q_proj": "a", "k_proj": "a", "v_proj": "a", "o_proj": "o", "gate_proj": "m", "up_proj": "m"}
        shared = {inputs.get(name, name) for name in targets if name in self._sizes}
        widths = {"a": self.hidden, "o": 0, "m": self.hidden, "down_proj": self.intermediate}  # o: attention's output
        adapted = number * (sum(widths[kind] for kind in shared) + rank * len(set(targets) & self._sizes.keys()))
        return norms + attention + gated + adapted

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
    model: BaseModel, settings: LoraConfig, plan: MemoryPlan, length: int, answer: int, number: int
) -> TrainingNeed | None:
    """Bytes at the peak of a step on the longest rows; None where config.json is not that of a Llama-like model.

    Args:
        model: the base.
        settings: of `w`.
        plan: sequences at a time, and whether activations are computed again.
        length: tokens of the longest row.
        answer: tokens of the longest completion, for which logits are computed.
        number: bytes of a number of the base: 2 in bfloat16, 4 in float32.
    """
    try:
        layers = Layers.of(json.loads((model.path / "config.json").read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError):
        return None
    tokens = plan.micro_batch * length
    a_layer = layers.token(number, settings.target_modules, settings.rank, length) * tokens
    positions = 2 * layers.attention // layers.heads * number * tokens  # sines and cosines
    inputs = layers.count * layers.hidden * number * tokens
    # At the loss: logits as they come, in float32, their log-softmax, and its gradient.
    logits = plan.micro_batch * (answer + 1) * layers.vocabulary * (number + 3 * FLOAT)
    weights = parameters(model)
    frozen = weights * number
    if settings.quantize == "4bit":
        look_up = layers.vocabulary * layers.hidden
        frozen = round((weights - look_up) * NF4) + look_up * number
    return TrainingNeed(
        weights=frozen,
        adapter=layers.adapter_weights(settings.rank, settings.target_modules) * TRAINED,
        activations=positions + (inputs + a_layer if plan.checkpointing else layers.count * a_layer),
        logits=logits,
    )
