"""The machine's matrix-multiply rate, and how many operations a Llama-like model needs for a token.

    python -m benchmarks.limits

Nearly all of a transformer's work is matrix multiplication. So the rate at which this machine multiplies matrices
limits its speed, and benchmarks give their results as shares of it. The limit is measured in the same run as what is
compared with it, since it varies on a shared machine.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig

from benchmarks.harness.models import add_model_options, open_model, place
from benchmarks.harness.record import Table, finish, parser, shown, spread, timed
from bt_core.engine.cpu.onednn_linear import OneDnnLinear, onednn_multiplies

#: Tokens in a batch over which a layer's products are timed.
BATCH_TOKENS = 2048

Prepare = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""A way to multiply: from a weight of shape [out, in] to a function that multiplies rows by it."""


@dataclass(frozen=True)
class Limit:
    """Multiply-add rates of one way to multiply, in GFLOP/s (a multiply and an add are two operations)."""

    square_best: float
    square_median: float
    layers: float

    @property
    def rate(self) -> float:
        """The higher of the rates for square products and for the layers."""
        return max(self.square_median, self.layers)


class Rates(NamedTuple):
    """GFLOP/s of the fastest way to multiply here, and of torch's own products."""

    fastest: float
    torch: float


@dataclass(frozen=True)
class Shape:
    """The sizes that the number of operations depends on.

    `attention` is heads times head size; `keys` is the same for K, or for V.
    """

    layers: int
    hidden: int
    attention: int
    keys: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> "Shape":
        """From a Llama-like config of transformers."""
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            attention=config.num_attention_heads * head,
            keys=config.num_key_value_heads * head,
            intermediate=config.intermediate_size,
            vocabulary=config.vocab_size,
        )

    @property
    def layer_products(self) -> list[tuple[int, int]]:
        """Every weight matrix of a layer as (in, out): query, key, value, output, gate, up, down."""
        return [
            (self.hidden, self.attention),
            (self.hidden, self.keys),
            (self.hidden, self.keys),
            (self.attention, self.hidden),
            (self.hidden, self.intermediate),
            (self.hidden, self.intermediate),
            (self.intermediate, self.hidden),
        ]

    @property
    def weights(self) -> int:
        """Weights in the layers' matrices; the embedding is a look-up and costs no product."""
        return self.layers * sum(rows * columns for rows, columns in self.layer_products)

    def lora_weights(self, rank: int, targets: Sequence[str]) -> int:
        """Weights of LoRA's A and B on the named projections of every layer."""
        names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        sizes = dict(zip(names, self.layer_products, strict=True))
        return self.layers * rank * sum(sum(sizes[name]) for name in targets)


def forward_flops(shape: Shape, lengths: Sequence[int], logits: int) -> float:
    """Operations of a forward pass over sequences without a shared prefix.

    Two a weight and token, and 2 * layers * attention * length a token for the attention itself. The latter is
    4 * layers * attention for each pair of tokens (query times key, weight times value), half of them masked.
    Kaplan et al. 2020 (arXiv 2001.08361), section 2.1 and Table 1, with their 12 d^2 a layer replaced by the
    matrices that the model has.

    Args:
        shape: the model's.
        lengths: tokens of each sequence.
        logits: positions at which the vocabulary's logits are computed.
    """
    products = 2.0 * shape.weights * sum(lengths)
    attention = 2.0 * shape.layers * shape.attention * sum(length * length for length in lengths)
    return products + attention + 2.0 * shape.hidden * shape.vocabulary * logits


def lora_flops(shape: Shape, lengths: Sequence[int], logits: int, lora_weights: int) -> float:
    """Operations of forward and backward pass with a frozen base.

    Training all weights costs three forward passes: forward, gradients of the inputs, gradients of the weights
    (Kaplan et al. 2020, section 2.1). A frozen weight has no gradient, so the base's products cost two. Attention
    multiplies activations with each other, where both sides need a gradient: three. LoRA's own weights: three.
    """
    base = 2 * forward_flops(shape, lengths, logits)
    attention = 2.0 * shape.layers * shape.attention * sum(length * length for length in lengths)
    return base + attention + 3 * 2.0 * lora_weights * sum(lengths)


def measure(
    shape: Shape, device: str = "cpu", dtype: Any = torch.float32, size: int = 2048, times: int = 8
) -> dict[str, Limit]:
    """Time matrix products in every available way: torch's own, and oneDNN's with weights laid out in advance.

    Args:
        shape: its layers' products are timed with `BATCH_TOKENS` tokens in the batch.
        device: where to multiply.
        dtype: number format.
        size: side of the square product.
        times: products of each kind, after two that warm up.
    """
    ways = _ways(device, dtype)
    return {name: _measured(shape, partial(_seconds, way, device, dtype, times), size) for name, way in ways.items()}


def _measured(shape: Shape, seconds: Callable[[int, int, int], list[float]], size: int) -> Limit:
    square = seconds(size, size, size)
    layer = [(seconds(BATCH_TOKENS, *pair), pair) for pair in shape.layer_products]
    operations = sum(2.0 * BATCH_TOKENS * rows * columns for _, (rows, columns) in layer)
    return Limit(
        square_best=2e-9 * size**3 / min(square),
        square_median=2e-9 * size**3 / statistics.median(square),
        layers=1e-9 * operations / sum(statistics.median(taken) for taken, _ in layer),
    )


def now(shape: Shape, options: Any) -> Rates:
    """The rates by which shares are computed, measured at this moment."""
    found = measure(shape, *place(options), 512 if options.quick else 2048, times=4)
    return Rates(max(limit.rate for limit in found.values()), found["torch"].rate)


def _ways(device: str, dtype: Any) -> dict[str, Prepare]:
    def by_torch(weight: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.nn.functional.linear(rows, weight)

    def by_onednn(weight: Tensor) -> Callable[[Tensor], Tensor]:
        linear = torch.nn.Linear(*reversed(weight.shape), bias=False, device="meta")
        linear.weight = torch.nn.Parameter(weight, requires_grad=False)
        return OneDnnLinear(linear, lay_out=True)

    return {"torch": by_torch} | ({"oneDNN": by_onednn} if onednn_multiplies(device, dtype) else {})


def _seconds(way: Prepare, device: str, dtype: Any, times: int, rows: int, inner: int, columns: int) -> list[float]:
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(rows, inner, device=device, dtype=dtype, generator=generator)
    multiply = way(torch.randn(columns, inner, device=device, dtype=dtype, generator=generator))

    @torch.inference_mode()
    def product() -> None:
        multiply(left)
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(2):
        product()
    return [timed(product).seconds for _ in range(times)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a few times and print the table."""
    command = parser("limits", "The machine's matrix-multiply rate.", repeats=5)
    add_model_options(command)
    command.add_argument("--size", type=int, default=2048, help="side of the square product")
    options = command.parse_args(arguments)
    if options.quick:
        options.repeats, options.size = 1, 256
    with tempfile.TemporaryDirectory() as scratch:
        base = open_model(options, Path(scratch))
        shape = Shape.of(AutoConfig.from_pretrained(base.path))
    device, dtype = place(options)
    found = [measure(shape, device, dtype, options.size) for _ in range(options.repeats)]
    rates = {
        way: {name: spread([getattr(limits[way], name) for limits in found]) for name in asdict(limit)}
        for way, limit in found[0].items()
    }
    per_token = forward_flops(shape, [1], 0)
    table = Table(
        f"Matrix products, {options.dtype} on {device}, in GFLOP/s: median (min to max)",
        ("by", f"square {options.size}, best", "median of a round", f"the model's layers, {BATCH_TOKENS} tokens"),
        [(way, *(shown(rate) for rate in parts.values())) for way, parts in rates.items()],
    )
    bound = 1e9 * max(parts["square_median"]["median"] for parts in rates.values()) / per_token
    note = f"A token costs {per_token / 1e6:,.0f} MFLOP in the layers' matrices: at most {bound:,.0f} tokens a second."
    result = {"rates": rates, "flops_per_token": per_token, "shape": asdict(shape)}
    finish("limits", options, result, [table], [note])


if __name__ == "__main__":
    main()
