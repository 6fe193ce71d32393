"""Whether a model fits the memory, computed from its files before a single weight is read.

The sum has the weights in the number format in which they run, and the keys and values of one full context
(`layers * 2 * kv_heads * head_size * bytes` for each token). Activations come on top and are left out, so a model that
is refused here could not have run.
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
class MemoryNeed:
    """The bytes that a model needs for its weights, and for the keys and values of `tokens` tokens."""

    weights: int
    keys_values: int
    tokens: int

    @property
    def total(self) -> int:
        return self.weights + self.keys_values


def memory_need(model: BaseModel, number_bytes: int, tokens: int) -> MemoryNeed:
    """The memory that a model needs when a number takes `number_bytes` and the context holds `tokens` tokens."""
    return MemoryNeed(parameters(model) * number_bytes, bytes_per_token(model, number_bytes) * tokens, tokens)


def parameters(model: BaseModel) -> int:
    """How many weights the model has, read from the headers of its safetensors files."""
    return sum(map(_elements, sorted(model.path.glob("*.safetensors"))))


def bytes_per_token(model: BaseModel, number_bytes: int) -> int:
    """Bytes of one token's keys and values; 0 where config.json does not tell (the model is no plain transformer)."""
    config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
    heads = config.get("num_attention_heads") or 0
    size = config.get("head_dim") or (config.get("hidden_size", 0) // heads if heads else 0)
    return (
        int(config.get("num_hidden_layers", 0) * 2 * (config.get("num_key_value_heads") or heads) * size) * number_bytes
    )


def check_memory(model: BaseModel, needed: MemoryNeed, free: int, device: str, remedy: str) -> None:
    """Refuse a model that needs more memory than there is.

    Args:
        model: the model, which the error names.
        needed: the bytes that it needs.
        free: the bytes that it may take.
        device: what has these bytes free, in the words of the error ("this machine", "the GPU").
        remedy: what to do, in the words of the error.

    Raises:
        ModelError: when it does not fit, with the sum.
    """
    if needed.total > free:
        raise ModelError(
            f"The model {model.id} needs {needed.total / GB:.2f} GB (weights {needed.weights / GB:.2f} GB + keys and"
            f" values of {needed.tokens} tokens {needed.keys_values / GB:.2f} GB), but {device} has {free / GB:.2f} GB:"
            f" {remedy}."
        )


def free_memory() -> int:
    """Bytes of main memory that the machine and its container still let this process take."""
    free = int(psutil.virtual_memory().available)
    try:
        return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no control group, or the word "max"
        return free


def _elements(path: Path) -> int:
    with safe_open(path, framework="numpy") as tensors:
        names = tensors.keys()
        return sum(prod(tensors.get_slice(name).get_shape()) for name in names)
