"""LoRA fine-tuning by transformers' Trainer and peft, with the loss on completions alone.

Rows are tokenised once, padded on the left so that every completion ends at the same position, and the
vocabulary's logits are computed for the longest completion of a batch only.
"""

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from torch import Tensor
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import TrainingRow
from bt_core.engine.completion_rows import IGNORED, Collator, encode
from bt_core.engine.transformers_engine import load_base
from bt_core.errors import ModelError, TrainingError
from bt_core.models import BaseModel


@dataclass(frozen=True)
class Curve:
    """How training went: (step, loss) points, (epoch, loss on the held-out rows), and what it cost."""

    loss: list[tuple[int, float]]
    val_loss: list[tuple[int, float]]
    best_epoch: int
    tokens: int
    seconds: float


def train_adapter(
    base: BaseModel,
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraConfig,
    engine: EngineConfig,
    seed: int,
    folder: Path,
    label: str = "train",
) -> Curve:
    """Train one adapter and write its PEFT files.

    Args:
        base: the model to adapt; it stays as it is.
        rows: what to learn.
        held_out: rows for the validation loss, which chooses the epoch; empty: the last epoch is taken.
        settings: LoRA and optimiser settings.
        engine: device and number format.
        seed: of initial weights, order and dropout.
        folder: where adapter_config.json and adapter_model.safetensors go.
        label: shown beside the progress bar.

    Raises:
        TrainingError: when the loss stops being a number, or the device's memory runs out.
        ModelError: when a target module does not exist in the model.
    """
    set_seed(seed)
    model, tokenizer = load_base(base, engine)
    adapted = _with_lora(model, settings)
    data = [encode(tokenizer, row) for row in rows]
    val = [encode(tokenizer, row) for row in held_out]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = CompletionTrainer(
            model=adapted,
            args=_arguments(settings, seed, Path(scratch), bool(val), model.device.type),
            train_dataset=data,
            eval_dataset=val or None,
            data_collator=Collator(tokenizer.pad_token_id or tokenizer.eos_token_id),
            callbacks=[_Progress(label)],
        )
        history = _fit(trainer, settings)
    _save(adapted, base, folder)
    return _curve(history, settings.epochs, sum(len(item["input_ids"]) for item in data))


def _fit(trainer: Trainer, settings: LoraConfig) -> list[dict[str, Any]]:
    """Train, and return the Trainer's history: one entry a step, an evaluation, and the run."""
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train()
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The device's memory ran out in training: lower `w.batch_size` (now {settings.batch_size})."
        ) from error
    history: list[dict[str, Any]] = trainer.state.log_history
    if not all(math.isfinite(float(entry["loss"])) for entry in history if "loss" in entry):
        raise TrainingError(
            f"The training loss stopped being a number: lower `w.learning_rate` (now {settings.learning_rate})."
        )
    return history


def _curve(history: Sequence[dict[str, Any]], epochs: int, tokens: int) -> Curve:
    return Curve(
        loss=[(int(entry["step"]), float(entry["loss"])) for entry in history if "loss" in entry],
        val_loss=[(round(entry["epoch"]), float(entry["eval_loss"])) for entry in history if "eval_loss" in entry],
        best_epoch=_best_epoch(history, epochs),
        tokens=epochs * tokens,
        seconds=next(float(entry["train_runtime"]) for entry in history if "train_runtime" in entry),
    )


class CompletionTrainer(Trainer):
    """Trainer whose loss looks at completions only and asks the model for no other logits."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")
        longest = int((labels != IGNORED).sum(1).max())  # completions end flush right
        outputs = model(**inputs, logits_to_keep=longest + 1, use_cache=False)
        logits = outputs.logits[:, :-1].float().flatten(0, 1)
        targets = labels[:, -longest:].flatten()
        total = torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        count = num_items_in_batch if num_items_in_batch is not None else (targets != IGNORED).sum()
        loss = total / count
        return (loss, outputs) if return_outputs else loss


def _with_lora(model: Any, settings: LoraConfig) -> Any:
    adapter = PeftLoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, adapter)
    except ValueError as error:
        raise ModelError(
            f"`w.target_modules` {list(settings.target_modules)} do not fit the model"
            f" ({str(error).splitlines()[0]}): name its layers."
        ) from None


def _arguments(settings: LoraConfig, seed: int, scratch: Path, evaluates: bool, device: str) -> TrainingArguments:
    epochwise = "epoch" if evaluates else "no"
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        train_sampling_strategy="group_by_length",
        eval_strategy=epochwise,
        save_strategy=epochwise,
        save_only_model=True,
        load_best_model_at_end=evaluates,
        metric_for_best_model="eval_loss" if evaluates else None,
        greater_is_better=False if evaluates else None,
        prediction_loss_only=True,
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        disable_tqdm=True,
        report_to="none",
        seed=seed,
        data_seed=seed,
    )


def _best_epoch(history: Sequence[dict[str, Any]], epochs: int) -> int:
    evaluations = [entry for entry in history if "eval_loss" in entry]
    if not evaluations:
        return epochs
    best = min(evaluations, key=lambda entry: float(entry["eval_loss"]))
    return round(float(best["epoch"]))


def _save(adapted: Any, base: BaseModel, folder: Path) -> None:
    """Write the PEFT files the same way every time: no local path, sorted lists and keys."""
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.id, "revision": base.revision}
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class _Progress(TrainerCallback):
    """One progress bar in the style of the other steps."""

    def __init__(self, label: str) -> None:
        self.bar = tqdm(desc=label, unit="step", file=sys.stdout, mininterval=2, ascii=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.reset(state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()
