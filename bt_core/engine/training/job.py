"""A training as records that need no torch: the job, the ways to put its steps into memory, and how it went.

A job travels as one JSON file to processes that train together (`processes` starts them, `worker` is one of them).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.json_text import bounded_bytes, parse_json
from bt_core.models import BaseModel, resolve_model


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides an adapter, and a label.

    Attributes:
        base: the model to adapt; it stays as it is.
        rows: what to learn.
        held_out: rows for the validation loss, which chooses the epoch; empty: the last epoch is taken.
        settings: of LoRA and its optimiser (`w`).
        engine: device and number format.
        seed: of initial weights, order of rows and dropout.
        label: shown beside the progress bar.
    """

    base: BaseModel
    rows: tuple[TrainingRow, ...]
    held_out: tuple[TrainingRow, ...]
    settings: LoraConfig
    engine: EngineConfig
    seed: int
    label: str = "train"

    def record(self, same_machine: bool) -> dict[str, Any]:
        """The job as JSON values, for `from_record`; on another machine the base model is looked up by its id."""
        path = str(self.base.path) if same_machine else ""
        return {
            "base": {"id": self.base.id, "revision": self.base.revision, "path": path},
            "rows": [asdict(row) for row in self.rows],
            "held_out": [asdict(row) for row in self.held_out],
            "settings": self.settings.model_dump(mode="json"),
            "engine": self.engine.model_dump(mode="json"),
            "seed": self.seed,
            "label": self.label,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "TrainingJob":
        """Read a job back; its base model is fetched where the record has no folder for it.

        Raises:
            ModelError, WorldError: as `resolve_model` does.
        """
        base = record["base"]
        here = BaseModel(base["id"], base["revision"], Path(base["path"])) if base["path"] else None
        return cls(
            here or resolve_model(base["id"], base["revision"]),
            tuple(map(_row, record["rows"])),
            tuple(map(_row, record["held_out"])),
            LoraConfig(**record["settings"]),
            EngineConfig(**record["engine"]),
            record["seed"],
            record["label"],
        )


@dataclass(frozen=True)
class MemoryPlan:
    """How an optimiser step is put into memory; what it computes stays the same.

    Each process takes `micro_batch` sequences at a time and adds up their gradients to `w.batch_size`. With
    `checkpointing`, activations are computed again in the backward pass instead of being kept (Chen et al. 2016,
    arXiv 1604.06174).
    """

    micro_batch: int
    checkpointing: bool

    @property
    def name(self) -> str:
        """Names the folder of this plan's checkpoints."""
        return f"{self.micro_batch}{'-checkpointing' if self.checkpointing else ''}"


@dataclass(frozen=True)
class Curve:
    """How a training went.

    Attributes:
        loss: a (step, loss) point for each optimiser step.
        val_loss: an (epoch, loss on the held-out rows) point for each epoch; empty without held-out rows.
        best_epoch: the epoch whose adapter was kept.
        tokens: trained on in all epochs.
        seconds: wall time of the training itself, also where its adapter came from the cache.
        micro_batch: sequences that fitted the memory at a time, `w.batch_size` where all did.
        cached: whether the adapter came from the cache.
    """

    loss: list[tuple[int, float]]
    val_loss: list[tuple[int, float]]
    best_epoch: int
    tokens: int
    seconds: float
    micro_batch: int
    cached: bool = False


RemoteTraining = Callable[[TrainingJob, Path, str], Curve]
"""Trains on other machines: takes the job, a folder for the adapter, and the training's cache key."""


def memory_plans(batch_size: int, micro_batch: int = 0) -> list[MemoryPlan]:
    """The plans to try, the fastest first: as asked, then with checkpointing, then with ever smaller micro-batches.

    Args:
        batch_size: sequences of one process in a step.
        micro_batch: sequences at a time to begin with; 0: the whole batch.
    """
    first = micro_batch or batch_size
    divisors = [size for size in range(first, 0, -1) if batch_size % size == 0]
    return [MemoryPlan(first, False), *(MemoryPlan(size, True) for size in divisors)]


def dump_job(job: TrainingJob, plan: MemoryPlan, same_machine: bool = True) -> str:
    """A job and its memory plan as JSON text, for `load_job`."""
    return json.dumps({"job": job.record(same_machine), "plan": asdict(plan)})


def load_job(path: Path) -> tuple[TrainingJob, MemoryPlan]:
    """Read the job and the memory plan that `dump_job` wrote."""
    record = parse_json(bounded_bytes(path))
    return TrainingJob.from_record(record["job"]), MemoryPlan(**record["plan"])


def _row(record: Mapping[str, Any]) -> TrainingRow:
    return TrainingRow(tuple(Message(**message) for message in record["messages"]), record["completion"])
