"""LoRA fine-tuning by transformers' Trainer and peft, with the loss over completions only.

Rows are tokenised once. A batch is one sequence in which the instruction that its rows share occurs once (`packing`),
or it is padded on the left where that is cheaper. Logits are computed for completions only.
"""

import gc
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer, set_seed

from bt_core.config import LoraConfig
from bt_core.engine.local.memory import out_of_memory, release
from bt_core.engine.local.transformers_engine import load_base
from bt_core.engine.tokens.chat_template import ChatTemplate
from bt_core.engine.training.checkpoints import CheckpointError, Checkpoints, exclusive, forget, latest
from bt_core.engine.training.job import Curve, MemoryPlan, TrainingJob, memory_plans
from bt_core.engine.training.layers import with_lora
from bt_core.engine.training.memory import TrainingNeed, training_need
from bt_core.engine.training.packing import IGNORED, Price, packs
from bt_core.engine.training.processes import train_in_processes
from bt_core.engine.training.quantized import load_quantized
from bt_core.engine.training.rows import Collator, encode
from bt_core.engine.training.trainer import CompletionTrainer, arguments, progress
from bt_core.errors import TrainingError, warn
from bt_core.models import BaseModel
from bt_core.shared_files import share


def train_adapter(job: TrainingJob, folder: Path, checkpoints: Path | None = None) -> Curve:
    """Train one adapter on this machine and write its PEFT files.

    Where memory runs out, the training starts again with activation checkpointing, then with smaller micro-batches
    whose gradients are added up: slower, and the same up to rounding and the order of rows. A training that was
    killed goes on from its last checkpoint, and ends in the same adapter.

    Args:
        job: what to train.
        folder: where adapter_config.json and adapter_model.safetensors go.
        checkpoints: a folder of this very training; None: a killed one starts again.

    Raises:
        TrainingError: when the loss stops being a number, one sequence is too much for the memory, or checkpoints
            cannot be written even into a temporary folder.
        ModelError: when a target module does not exist in the model.
        ConfigError: when a setting asks for what is not on this machine.
    """
    train = train_here if job.settings.processes == 1 else train_in_processes

    def train_in(place: Path | None) -> Curve:
        with exclusive(place) as kept:
            return try_memory_plans(job, lambda plan: train(job, plan, folder, kept / plan.name))

    try:
        curve = train_in(checkpoints)
    except CheckpointError as error:
        if checkpoints is None:
            raise
        # Not without checkpoints, since the weights of the best epoch are read back from one.
        warn(f"{error} The training starts again, with checkpoints in a temporary folder.")
        forget(checkpoints)
        curve = train_in(None)
    forget(checkpoints)
    return curve


def try_memory_plans(job: TrainingJob, train: Callable[[MemoryPlan], Curve]) -> Curve:
    """Train by one memory plan after the other, until one of them does not run out of memory.

    Raises:
        TrainingError: when even one sequence at a time is too much.
    """
    failure: BaseException | None = None
    for plan in memory_plans(job.settings.batch_size // job.settings.world_size, job.settings.micro_batch):
        try:
            return train(plan)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            failure = error.with_traceback(None)  # its frames hold the tensors
        gc.collect()
        release()
    raise TrainingError(
        "The device's memory ran out in training even with one sequence at a time: use a smaller model, shorter"
        " prompts, or more memory."
    ) from failure


def train_here(job: TrainingJob, plan: MemoryPlan, folder: Path, checkpoints: Path) -> Curve:
    """Train in this process by one memory plan; it may be one of several processes that train together."""
    set_seed(job.seed)
    model, tokenizer = _load(job)
    template = ChatTemplate(job.base, tokenizer, model.generation_config.eos_token_id)
    # With dropout, all rows of a batch would lose the same activations of a prefix that occurs only once.
    price = Price.of(model.config) if not job.settings.dropout and packs(model) else None
    adapted = with_lora(model, job.settings)
    data = [encode(template, row) for row in job.rows]
    val = [encode(template, row) for row in job.held_out]
    device = model.device.type
    needed = memory_needed(job, plan, data, model.dtype.itemsize)
    if needed:
        print(f"{job.label}: training needs about {needed}")
    mixed = device == "cuda" and model.dtype == torch.bfloat16
    resumed = latest(checkpoints)
    trainer = CompletionTrainer(
        model=adapted,
        args=arguments(job.settings, plan, job.seed, checkpoints, bool(val), device, mixed),
        train_dataset=data,
        eval_dataset=val or None,
        data_collator=Collator(template.pad, price),
        callbacks=[progress(job.label), Checkpoints(job.settings.checkpoint_steps, resumed)],
    )
    history = _history(trainer, job.settings, resumed)
    if trainer.is_world_process_zero():
        _save(adapted, job.base, folder)
    return _curve(history, job.settings.epochs, sum(len(item["input_ids"]) for item in data), plan)


def memory_needed(
    job: TrainingJob, plan: MemoryPlan, data: Sequence[dict[str, list[int]]], number_bytes: int
) -> TrainingNeed | None:
    """The memory for encoded rows (`rows.encode`), when a number of the base model takes `number_bytes`."""
    length = max(len(item["input_ids"]) for item in data)
    answer = max(sum(label != IGNORED for label in item["labels"]) for item in data)
    return training_need(job.base, job.settings, plan, length, answer, number_bytes)


def _load(job: TrainingJob) -> tuple[Any, Any]:
    if job.settings.quantize == "4bit":
        return load_quantized(job.base, job.engine)
    return load_base(job.base, job.engine)


def _history(trainer: Trainer, settings: LoraConfig, resumed: Path | None) -> list[dict[str, Any]]:
    """Train, and return the Trainer's history: an entry for each step, for each evaluation, and for the run."""
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    history: list[dict[str, Any]] = trainer.state.log_history
    if not all(math.isfinite(float(entry["loss"])) for entry in history if "loss" in entry):
        raise TrainingError(
            f"The training loss stopped being a number: lower `w.learning_rate` (now {settings.learning_rate})."
        )
    return history


def _curve(history: Sequence[dict[str, Any]], epochs: int, tokens: int, plan: MemoryPlan) -> Curve:
    return Curve(
        loss=[(int(entry["step"]), float(entry["loss"])) for entry in history if "loss" in entry],
        val_loss=[(round(entry["epoch"]), float(entry["eval_loss"])) for entry in history if "eval_loss" in entry],
        best_epoch=_best_epoch(history, epochs),
        tokens=epochs * tokens,
        seconds=next(float(entry["train_runtime"]) for entry in history if "train_runtime" in entry),
        micro_batch=plan.micro_batch,
    )


def _best_epoch(history: Sequence[dict[str, Any]], epochs: int) -> int:
    evaluations = [entry for entry in history if "eval_loss" in entry]
    if not evaluations:
        return epochs
    best = min(evaluations, key=lambda entry: float(entry["eval_loss"]))
    return round(float(best["epoch"]))


def _save(adapted: Any, base: BaseModel, folder: Path) -> None:
    """Write the PEFT files in the same way every time, without a local path, and with sorted lists and keys."""
    try:
        adapted.save_pretrained(folder)
    except SafetensorError as error:
        raise TrainingError(f"The adapter cannot be written into {folder} ({error}): check the disk.") from None
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.id, "revision": base.revision}
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    share(folder)
