"""LoRA fine-tuning on traces: this project's trainer against an ordinary transformers Trainer.

    python -m benchmarks.train
    python -m benchmarks.train --device cuda --dtype bfloat16 --random-model 1B

Same rows, LoRA, batch size, one epoch. The ordinary code pads each batch to its longest row, takes rows in random
order, and has logits for every position although only the completions have labels.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from transformers import (
    AutoConfig,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.harness.models import add_model_options, open_model, plain_model, settings
from benchmarks.harness.record import Table, finish, in_turn, parser, percent, quiet, ratios, shown, spread
from benchmarks.limits import Shape, lora_flops, now
from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.models import BaseModel
from bt_core.records import Row
from bt_tasks.continents import cities

Rows = list[TrainingRow]
#: Bounds of the tokens in a chat prompt and in a completion, as in traces of small programs.
PROMPT_TOKENS, COMPLETION_TOKENS = (30, 200), (2, 12)


def made_rows(tokenizer: Any, places: Sequence[Row], seed: int, count: int) -> Rows:
    """Rows of random length within the bounds above, made of cities and their continents."""
    rng = random.Random(f"rows:{seed}")
    return [
        TrainingRow(
            (
                Message("system", "Name the continents that these cities lie on, with the names alone."),
                Message("user", _words(tokenizer, rng, places, "city", _aim(rng, PROMPT_TOKENS) - 25)),
            ),
            _words(tokenizer, rng, places, "continent", rng.randint(*COMPLETION_TOKENS) - 1),
        )
        for _ in range(count)
    ]


def _aim(rng: random.Random, bounds: tuple[int, int]) -> int:
    """A random length, more often short than long, as in traces, where most prompts are short."""
    low, high = bounds
    return int(low + (high - low) * rng.random() ** 2)


def _words(tokenizer: Any, rng: random.Random, places: Sequence[Row], column: str, tokens: int) -> str:
    text = str(rng.choice(places)[column])
    while len(ids := tokenizer(text, add_special_tokens=False)["input_ids"]) < tokens:
        text += f", {rng.choice(places)[column]}"
    return str(tokenizer.decode(ids[: max(1, tokens)]))


def encode(tokenizer: Any, row: TrainingRow) -> dict[str, list[int]]:
    """A row as ordinary fine-tuning code encodes it, with labels on the completion alone."""
    chat = [{"role": message.role, "content": message.content} for message in row.messages]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    answer = [*tokenizer(row.completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    labels = [-100] * len(prompt) + answer
    return {"input_ids": prompt + answer, "attention_mask": [1] * len(labels), "labels": labels}


def plain_seconds(base: BaseModel, rows: Rows, lora: LoraConfig, engine: EngineConfig, seed: int) -> float:
    """Train with transformers' own Trainer. Returns the seconds of training that it reports."""
    set_seed(seed)
    model, tokenizer = plain_model(base, engine)
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    adapter = PeftLoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    with tempfile.TemporaryDirectory() as scratch, quiet():
        trainer = Trainer(
            model=get_peft_model(model, adapter),
            args=TrainingArguments(
                output_dir=scratch,
                num_train_epochs=lora.epochs,
                per_device_train_batch_size=lora.batch_size,
                learning_rate=lora.learning_rate,
                save_strategy="no",
                logging_steps=1,
                use_cpu=model.device.type == "cpu",
                dataloader_pin_memory=model.device.type != "cpu",
                disable_tqdm=True,
                report_to="none",
                seed=seed,
            ),
            train_dataset=[encode(tokenizer, row) for row in rows],
            data_collator=DataCollatorForSeq2Seq(tokenizer),
        )
        trainer.remove_callback(PrinterCallback)
        return float(trainer.train().metrics["train_runtime"])


def our_seconds(base: BaseModel, rows: Rows, lora: LoraConfig, engine: EngineConfig, seed: int) -> float:
    """Train with `train_adapter`. Returns the seconds of training that it reports."""
    job = TrainingJob(base, tuple(rows), (), lora, engine, seed)
    with tempfile.TemporaryDirectory() as scratch, quiet():
        return train_adapter(job, Path(scratch) / "adapter").seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Train in turn and print the table."""
    options = _options(arguments)
    lora = LoraConfig(epochs=1, batch_size=options.batch_size, holdout=0.0)
    engine = settings(options)
    with tempfile.TemporaryDirectory() as scratch:
        base = open_model(options, Path(scratch))
        tokenizer, shape = AutoTokenizer.from_pretrained(base.path), Shape.of(AutoConfig.from_pretrained(base.path))
        places = cities()
        piles = [made_rows(tokenizer, places, seed, options.rows) for seed in range(options.repeats)]
        our_seconds(base, piles[0][: lora.batch_size], lora, engine, 0)  # warm up
        taken = in_turn(
            {
                "ours": lambda seed: our_seconds(base, piles[seed], lora, engine, seed),
                "limit": lambda seed: now(shape, options),
                "plain": lambda seed: plain_seconds(base, piles[seed], lora, engine, seed),
            },
            options.repeats,
        )
    seconds = {name: [run.result for run in runs] for name, runs in taken.items()}
    encoded = [[encode(tokenizer, row) for row in pile] for pile in piles]
    result = _figures(seconds, encoded, shape, lora) | {"settings": _settings(options, lora)}
    finish("train", options, result, [_table(result)], [])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("train", "LoRA fine-tuning: this trainer and an ordinary one.")
    add_model_options(command)
    command.add_argument("--rows", type=int, default=96)
    command.add_argument("--batch-size", type=int, default=8)
    options = command.parse_args(arguments)
    if options.quick:
        options.repeats, options.rows = 1, 16
    return options


def _settings(options: argparse.Namespace, lora: LoraConfig) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in ("rows", "device", "dtype", "random_model")}
    return chosen | {"lora": lora.model_dump(mode="json")}


def _figures(
    seconds: dict[str, list[Any]], encoded: Sequence[Sequence[dict[str, list[int]]]], shape: Shape, lora: LoraConfig
) -> dict[str, Any]:
    lengths = [[len(row["input_ids"]) for row in pile] for pile in encoded]
    answers = [sum(label != -100 for row in pile for label in row["labels"]) for pile in encoded]
    weights = shape.lora_weights(lora.rank, lora.target_modules)
    needed = [lora_flops(shape, length, count, weights) for length, count in zip(lengths, answers, strict=True)]
    found: dict[str, Any] = {"ratios": {"plain_over_ours": ratios(seconds["plain"], seconds["ours"])}}
    found["tokens"] = spread([float(sum(length)) for length in lengths])
    for name in ("ours", "plain"):
        pairs = list(zip(lengths, needed, seconds["limit"], seconds[name], strict=True))
        found[name] = {
            "tokens_per_second": spread([sum(length) / time for length, _, _, time in pairs]),
            "share_of_limit": spread([1e-9 * flops / time / rates.fastest for _, flops, rates, time in pairs]),
            "share_of_torch": spread([1e-9 * flops / time / rates.torch for _, flops, rates, time in pairs]),
            "seconds": spread(seconds[name]),
        }
    found["limit_gflops"], found["torch_gflops"] = (spread(list(each)) for each in zip(*seconds["limit"], strict=True))
    return found


def _table(found: dict[str, Any]) -> Table:
    rows = [
        (
            name,
            shown(found[key]["tokens_per_second"]),
            percent(found[key]["share_of_limit"]),
            percent(found[key]["share_of_torch"]),
            shown(found["ratios"]["plain_over_ours"], "x") if key == "plain" else "1",
        )
        for name, key in (("this project's trainer", "ours"), ("ordinary Trainer", "plain"))
    ]
    columns = ("trainer", "real tokens/s", "needed work over the limit", "over torch's products", "time over ours")
    return Table("LoRA fine-tuning: median (min to max) of paired runs", columns, rows)


if __name__ == "__main__":
    main()
