"""A training as a record: what it learns, on which model, with which settings; reads without torch.

It travels as one JSON file to the processes that train together (`launch`, `train_worker`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.curve import Curve
from bt_core.models import BaseModel, resolve_model


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides an adapter, and the label beside the progress bar."""

    base: BaseModel
    rows: tuple[TrainingRow, ...]
    held_out: tuple[TrainingRow, ...]
    settings: LoraConfig
    engine: EngineConfig
    seed: int
    label: str = "train"

    def record(self, here: bool = True) -> dict[str, Any]:
        """As JSON holds it; `from_record` reads it. Another machine (`here` false) finds the base by its id."""
        return {
            "base": {"id": self.base.id, "revision": self.base.revision, "path": str(self.base.path) if here else ""},
            "rows": [asdict(row) for row in self.rows],
            "held_out": [asdict(row) for row in self.held_out],
            "settings": self.settings.model_dump(mode="json"),
            "engine": self.engine.model_dump(mode="json"),
            "seed": self.seed,
            "label": self.label,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "TrainingJob":
        """The job of a record; the model is fetched where its folder is not on this machine."""
        base = record["base"]
        known = BaseModel(base["id"], base["revision"], Path(base["path"])) if base["path"] else None
        return cls(
            known or resolve_model(base["id"], base["revision"]),
            tuple(map(_row, record["rows"])),
            tuple(map(_row, record["held_out"])),
            LoraConfig(**record["settings"]),
            EngineConfig(**record["engine"]),
            record["seed"],
            record["label"],
        )


@dataclass(frozen=True)
class Fit:
    """How a training step is fitted into memory; what it computes stays the same.

    `micro_batch` sequences at a time in each process, their gradients added up to `w.batch_size`; with
    `checkpointing`, activations are computed again in the backward pass instead of being kept (Chen et al. 2016,
    arXiv 1604.06174).
    """

    micro_batch: int
    checkpointing: bool

    @property
    def name(self) -> str:
        return f"{self.micro_batch}{'-checkpointing' if self.checkpointing else ''}"


RemoteTraining = Callable[[TrainingJob, Path, str], Curve]
"""Trains somewhere else: the job, a folder for the adapter, and the training's key."""


def fits(batch_size: int, micro_batch: int = 0) -> list[Fit]:
    """What to try, the fastest first: as asked, then with checkpointing, then with ever smaller micro-batches.

    Args:
        batch_size: of one process.
        micro_batch: to begin with; 0: the whole batch.
    """
    first = micro_batch or batch_size
    divisors = [size for size in range(first, 0, -1) if batch_size % size == 0]
    return [Fit(first, False), *(Fit(size, True) for size in divisors)]


def order(job: TrainingJob, fit: Fit, here: bool = True) -> str:
    """A job and how it is fitted into memory, as text for `read_order`."""
    return json.dumps({"job": job.record(here), "fit": asdict(fit)})


def read_order(path: Path) -> tuple[TrainingJob, Fit]:
    """The job and its fit that `order` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return TrainingJob.from_record(found["job"]), Fit(**found["fit"])


def _row(record: Mapping[str, Any]) -> TrainingRow:
    return TrainingRow(tuple(Message(**message) for message in record["messages"]), record["completion"])
