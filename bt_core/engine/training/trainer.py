"""transformers' Trainer, set up to learn completions: its loss, its arguments and its progress."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_pt_utils import LengthGroupedSampler

from bt_core.config import LoraConfig
from bt_core.engine.training.checkpoints import writing
from bt_core.engine.training.job import MemoryPlan
from bt_core.engine.training.packing import IGNORED
from bt_core.progress import Progress

#: The variable by which Trainer says where progress is reported to, when its feature gate `TrainJobStatus` is on
#: (kubeflow/trainer: `pkg/runtime/framework/plugins/trainjobstatus/trainjobstatus.go`). Transformers' callback reports.
_KUBEFLOW = "KUBEFLOW_TRAINER_SERVER_URL"
#: The variable by which Trainer's torch runtime numbers the nodes of a TrainJob.
_NODE = "PET_NODE_RANK"
#: Seconds between two lines about the progress of a TrainJob.
_LINE_SECONDS = 5.0


class EpochOrder(LengthGroupedSampler):
    """Puts rows of similar length together, in an order that depends only on seed and epoch, the same in every process.

    Transformers' own sampler draws from the process's random state, which dropout changes differently in each process.
    """

    def __init__(self, trainer: Trainer, batch_size: int, dataset: Any) -> None:
        super().__init__(batch_size, dataset)
        self.trainer = trainer

    def __iter__(self) -> Iterator[int]:
        epoch = int((self.trainer.state.epoch or 0) + 1e-6)
        self.generator = torch.Generator().manual_seed(self.trainer.args.seed * 1_000 + epoch)
        return iter(super().__iter__())


class CompletionTrainer(Trainer):
    """A Trainer whose loss is over completions only, and which asks the model for no other logits."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.world_size == 1:
            return super()._get_train_sampler(train_dataset)
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return EpochOrder(self, step, train_dataset if train_dataset is not None else self.train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with writing(self.args.output_dir):
            super()._save_checkpoint(model, trial)

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels, logit_positions = inputs.pop("labels"), inputs.pop("logit_positions", None)
        if logit_positions is not None:  # one packed sequence
            outputs = model(**inputs, logits_to_keep=logit_positions, use_cache=False)
            logits, targets = outputs.logits[0].float(), labels[0, 1:]
        else:
            longest = int((labels != IGNORED).sum(1).max())  # rows are padded on the left, so completions end together
            outputs = model(**inputs, logits_to_keep=longest + 1, use_cache=False)
            logits, targets = outputs.logits[:, :-1].float().flatten(0, 1), labels[:, -longest:].flatten()
        total = torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        count = num_items_in_batch if num_items_in_batch is not None else (targets != IGNORED).sum()
        # Gradients are averaged over the processes, but `num_items_in_batch` counts the tokens of all processes.
        loss = total / count * (self.accelerator.num_processes if num_items_in_batch is not None else 1)
        return (loss, outputs) if return_outputs else loss


def arguments(
    settings: LoraConfig, plan: MemoryPlan, seed: int, folder: Path, evaluates: bool, device: str, mixed: bool
) -> TrainingArguments:
    """The Trainer's arguments for a training by one memory plan.

    Args:
        settings: the settings of `w`.
        plan: how a step is put into memory.
        seed: the seed of the order of rows and of dropout.
        folder: the folder for checkpoints.
        evaluates: whether the loss on held-out rows chooses the epoch.
        device: `cpu` or `cuda`.
        mixed: whether products are in bfloat16, but LoRA's weights and the optimiser in float32 (Micikevicius et al.
            2018, arXiv 1710.03740).
    """
    training_arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=settings.batch_size // settings.world_size // plan.micro_batch,
        per_device_eval_batch_size=plan.micro_batch,
        learning_rate=settings.learning_rate,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch" if evaluates else "no",
        save_strategy="epoch",
        save_total_limit=3,  # the best, the last, and the one before while the last is written
        load_best_model_at_end=evaluates,
        metric_for_best_model="eval_loss" if evaluates else None,
        greater_is_better=False if evaluates else None,
        prediction_loss_only=True,
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        bf16=mixed,
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and settings.world_size > 1 else None,
        ddp_find_unused_parameters=False if settings.world_size > 1 else None,
        dataloader_pin_memory=device != "cpu",
        disable_tqdm=True,
        report_to="kubeflow" if _KUBEFLOW in os.environ and "kubeflow" in INTEGRATION_TO_CALLBACK else "none",
        seed=seed,
        data_seed=seed,
        **_checkpointing(plan.checkpointing),
    )
    if training_arguments.n_gpu > 1:
        training_arguments._n_gpu = 1  # otherwise torch's DataParallel would take a batch for each GPU
    return training_arguments


def _checkpointing(on: bool) -> dict[str, Any]:
    """Activation checkpointing under the name that it has here, since vLLM 0.32 needs an older transformers."""
    names = {field.name for field in fields(TrainingArguments)}
    name = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return {name: on, f"{name}_kwargs": {"use_reentrant": False} if on else None}


def progress(label: str) -> TrainerCallback:
    """What says how far the training is; more often in a TrainJob, whose log is all that is seen of it."""
    return ProgressLines(label, _LINE_SECONDS if _NODE in os.environ else None)


class ProgressLines(TrainerCallback):
    """Lines with step, loss, and the time that is left; in a TrainJob the first and the last step have one."""

    def __init__(self, label: str, seconds: float | None) -> None:
        self.label, self.seconds = label, seconds
        self.progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Not from 0 after a checkpoint.
        self.progress = Progress(self.label, "step", state.max_steps, state.global_step, self.seconds)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero or self.progress is None:
            return
        is_marked = self.seconds is not None and state.global_step in (1, state.max_steps)
        self.progress.reach(state.global_step, f"loss {logs['loss']:.4f}", at_once=is_marked)
