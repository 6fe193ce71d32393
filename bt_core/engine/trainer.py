"""transformers' Trainer set up for completions: its loss, its arguments, its progress bar."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments

from bt_core.config import LoraConfig
from bt_core.engine.completion_rows import IGNORED


@dataclass(frozen=True)
class Fit:
    """How a training step is fitted into memory; what it computes stays the same.

    `micro_batch` sequences at a time, their gradients added up to `w.batch_size`; with `checkpointing`,
    activations are computed again in the backward pass instead of being kept (Chen et al. 2016,
    arXiv 1604.06174).
    """

    micro_batch: int
    checkpointing: bool


def fits(batch_size: int) -> list[Fit]:
    """What to try, the fastest first: as asked, then with checkpointing, then with ever smaller micro-batches."""
    divisors = [size for size in range(batch_size, 0, -1) if batch_size % size == 0]
    return [Fit(batch_size, False), *(Fit(size, True) for size in divisors)]


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


def arguments(
    settings: LoraConfig, fit: Fit, seed: int, scratch: Path, evaluates: bool, device: str
) -> TrainingArguments:
    """The Trainer's arguments for one try."""
    epochwise = "epoch" if evaluates else "no"
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=fit.micro_batch,
        gradient_accumulation_steps=settings.batch_size // fit.micro_batch,
        activation_checkpointing=fit.checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if fit.checkpointing else None,
        per_device_eval_batch_size=fit.micro_batch,
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


class Progress(TrainerCallback):
    """One progress bar in the style of the other steps."""

    def __init__(self, label: str) -> None:
        self.bar = tqdm(desc=label, unit="step", file=sys.stdout, mininterval=2, ascii=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.reset(state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()
