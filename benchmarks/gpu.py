"""Training and inference on a GPU: share of its matrix rate, memory against the estimate, tokens a second.

    python -m benchmarks.gpu --random-model 1B
    python -m benchmarks.gpu --quick --device cpu

Random weights in bfloat16 by default: speed and memory need no trained ones. Goals: training at 45 % of the rate at
which the card multiplies matrices, and a peak of memory within 15 % of the estimate.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from benchmarks.harness.models import add_model_options, open_model, place, settings
from benchmarks.harness.record import Table, finish, parser, percent, quiet, shown, spread, timed
from benchmarks.limits import Shape, lora_flops, now
from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, Request, Sampling, TrainingRow
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.engine.training.job import MemoryPlan, TrainingJob
from bt_core.engine.training.packing import IGNORED
from bt_core.engine.training.rows import encode
from bt_core.engine.training.train import memory_needed, train_adapter
from bt_core.models import BaseModel

WORD = " word"


def rows_of(tokens: int, answer: int, count: int) -> list[TrainingRow]:
    """Rows with about the given tokens in prompt and completion. Each row holds a different number."""
    return [TrainingRow((Message("user", f"{n}{WORD * tokens}"),), f"{n}{WORD * answer}") for n in range(count)]


def trained(base: BaseModel, options: argparse.Namespace, engine: EngineConfig, repeat: int) -> dict[str, float]:
    """Train once: rate, share of the limit that was measured just before, and memory."""
    lora = LoraConfig(epochs=1, batch_size=options.batch_size, micro_batch=options.micro_batch, holdout=0.0)
    rows = rows_of(options.prompt_tokens, options.answer_tokens, options.rows)
    template, shape = Vocabulary.load(base).template, Shape.of(AutoConfig.from_pretrained(base.path))
    encoded = [encode(template, row) for row in rows]
    lengths = [len(row["input_ids"]) for row in encoded]
    limit = now(shape, options).fastest
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    job = TrainingJob(base, tuple(rows), (), lora, engine, repeat)
    with tempfile.TemporaryDirectory() as scratch, quiet():
        curve = train_adapter(job, Path(scratch) / "adapter")
    answers = sum(label != IGNORED for row in encoded for label in row["labels"])
    flops = lora_flops(shape, lengths, answers, shape.lora_weights(lora.rank, lora.target_modules))
    # A smaller micro-batch than requested used checkpointing: see `memory_plans`.
    plan = MemoryPlan(curve.micro_batch, curve.micro_batch < (lora.micro_batch or lora.batch_size))
    needed = memory_needed(job, plan, encoded, place(options)[1].itemsize)
    return {
        "tokens_per_second": curve.tokens / curve.seconds,
        "share_of_limit": 1e-9 * flops / curve.seconds / limit,
        "limit_gflops": limit,
        "estimated_bytes": float(needed.total if needed else 0),
        "peak_bytes": float(torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0),
        "micro_batch": float(curve.micro_batch),
    }


def answered(engine: TransformersEngine, options: argparse.Namespace, repeat: int) -> dict[str, float]:
    """Prompt rate (one token each) and decode rate (what longer answers add to the time)."""

    def seconds(tokens: int, salt: str) -> float:
        messages = [Message("user", f"{salt} {repeat} {n}{WORD * options.prompt_tokens}") for n in range(options.rows)]
        sampling = Sampling(max_tokens=tokens)
        requests = [Request((message,), sampling=sampling) for message in messages]
        return timed(lambda: engine.generate(requests)).seconds

    short = seconds(1, "short")
    before = engine.usage
    longer = seconds(options.decode_tokens, "long")
    spent = engine.usage - before
    decoded = max(1, spent.completion_tokens - options.rows)
    return {
        "prompt_tokens_per_second": spent.prompt_tokens / short,
        "decode_tokens_per_second": decoded / max(longer - short, 1e-9),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        base = open_model(options, Path(scratch))
        engine = settings(options)
        trained(base, options, engine, options.repeats)  # warm up
        training = [trained(base, options, engine, repeat) for repeat in range(options.repeats)]
        loaded = TransformersEngine(base, engine)
        answered(loaded, options, options.repeats)
        inference = [answered(loaded, options, repeat) for repeat in range(options.repeats)]
    figures = {name: spread([run[name] for run in runs]) for runs in (training, inference) for name in runs[0]}
    chosen = {name: getattr(options, name) for name in (*_SIZES, "device", "dtype", "random_model")}
    result: dict[str, Any] = {"figures": figures, "settings": chosen}
    finish("gpu", options, result, [_table(figures)], [_note(figures, options)])


_SIZES = {
    "rows": 64,
    "batch_size": 16,
    "micro_batch": 0,
    "prompt_tokens": 480,
    "answer_tokens": 20,
    "decode_tokens": 64,
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("gpu", "Training and inference on a GPU, against its matrix rate and the memory estimate.")
    add_model_options(command)
    command.set_defaults(device="cuda", dtype="bfloat16", random_model="1B")
    for name, size in _SIZES.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=int, default=size)
    options = command.parse_args(arguments)
    if options.quick:
        options.random_model, options.repeats = "tiny", 1
        options.rows, options.batch_size, options.prompt_tokens, options.decode_tokens = 8, 4, 40, 8
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu: there is no GPU here: add --quick --device cpu to see that it works.")
    return options


def _table(figures: dict[str, dict[str, float]]) -> Table:
    rows = [
        ("training, tokens/s", shown(figures["tokens_per_second"])),
        ("training, needed work over the limit", percent(figures["share_of_limit"])),
        ("limit, GFLOP/s", shown(figures["limit_gflops"])),
        ("training, estimated GB", f"{figures['estimated_bytes']['median'] / 1e9:.3g}"),
        ("training, peak GB", f"{figures['peak_bytes']['median'] / 1e9:.3g}"),
        ("engine, prompt tokens/s", shown(figures["prompt_tokens_per_second"])),
        ("engine, decoded tokens/s", shown(figures["decode_tokens_per_second"])),
    ]
    return Table("Training and inference: median (min to max)", ("what", "value"), rows)


def _note(figures: dict[str, dict[str, float]], options: argparse.Namespace) -> str:
    peak, estimated = figures["peak_bytes"]["median"], figures["estimated_bytes"]["median"]
    if options.device == "cpu" or not peak:
        return "No GPU: the peak of memory was not measured."
    return f"The estimate is {100 * (estimated / peak - 1):+.1f} % off the peak (goal: within 15 %)."


if __name__ == "__main__":
    main()
