"""Whether a model fits the memory, from its files alone and before a single weight is read.

What is needed is the weights in the number format they run in, and the keys and values of one full context: two
vectors a layer and token, one for each key-value head (`layers * 2 * kv_heads * head_size * bytes` a token).
Activations come on top and are not in the sum, so that what is refused here could not have run.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
from safetensors import safe_open

from bt_core.errors import ModelError
from bt_core.models import BaseModel

GB = 1e9


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes: its weights, and the keys and values of `tokens` tokens."""

    weights: int
    keys_values: int
    tokens: int

    @property
    def total(self) -> int:
        return self.weights + self.keys_values


def need(model: BaseModel, number_bytes: int, tokens: int) -> Need:
    """Bytes for the model's weights, `number_bytes` each, and for the keys and values of `tokens` tokens."""
    return Need(parameters(model) * number_bytes, token_bytes(model, number_bytes) * tokens, tokens)


def parameters(model: BaseModel) -> int:
    """Weights in the model's safetensors, from their headers."""
    return sum(map(_elements, sorted(model.path.glob("*.safetensors"))))


def token_bytes(model: BaseModel, number_bytes: int) -> int:
    """Bytes of one token's keys and values; 0 where the config does not say (not a plain transformer)."""
    config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
    heads = config.get("num_attention_heads") or 0
    size = config.get("head_dim") or (config.get("hidden_size", 0) // heads if heads else 0)
    return (
        int(config.get("num_hidden_layers", 0) * 2 * (config.get("num_key_value_heads") or heads) * size) * number_bytes
    )


def check_fit(model: BaseModel, needed: Need, free: int, place: str, remedy: str) -> None:
    """Refuse a model that needs more than there is.

    Args:
        model: named in the sentence.
        needed: its bytes.
        free: bytes that it may take.
        place: what has so many free, as the sentence says it.
        remedy: what to do.

    Raises:
        ModelError: with the sum.
    """
    if needed.total > free:
        raise ModelError(
            f"The model {model.id} needs {needed.total / GB:.2f} GB (weights {needed.weights / GB:.2f} GB + keys and"
            f" values of {needed.tokens} tokens {needed.keys_values / GB:.2f} GB), but {place} has {free / GB:.2f} GB:"
            f" {remedy}."
        )


def free_memory() -> int:
    """Bytes of main memory that this process may still take, as far as the machine and its container allow."""
    free = int(psutil.virtual_memory().available)
    try:
        return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no control group, or the word "max"
        return free


def _elements(path: Path) -> int:
    with safe_open(path, framework="numpy") as tensors:
        names = tensors.keys()
        return sum(prod(tensors.get_slice(name).get_shape()) for name in names)
