"""Checkpoints of a training, so that a killed one goes on from its last instead of from the start.

They are the Trainer's own (adapter, optimiser, schedule, random states, history), in one folder a training. A
checkpoint counts once its last file is there, which is renamed into place when all others are written: a kill in the
middle leaves a folder that is passed over and removed. The Trainer reads its own `.pt` and `.pth` files with torch's
`weights_only`, which loads tensors and plain values and no code.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

#: Last file of a whole checkpoint: the random state from which the epoch's order of rows is drawn.
ORDER_FILE = "order.safetensors"


@contextmanager
def exclusive(folder: Path | None) -> Iterator[Path]:
    """The folder for one training's checkpoints, which nobody else uses meanwhile.

    Without a folder, or where another process trains in it, a temporary one: nothing can be resumed then.
    """
    with tempfile.TemporaryDirectory(prefix="bt-train-") as scratch:
        if folder is None:
            yield Path(scratch)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed process gives it back
            except OSError:
                yield Path(scratch)
            else:
                yield folder


def forget(folder: Path | None) -> None:
    """Remove the checkpoints of a training that is done."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint; half-written ones are removed."""
    whole: dict[int, Path] = {}
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if (path / ORDER_FILE).is_file():
            whole[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return whole[max(whole)] if whole else None


class Checkpoints(TrainerCallback):
    """Asks for checkpoints within an epoch, completes those that were written, and resumes in the same order of rows.

    The Trainer draws an epoch's order from torch's random state at its beginning, which its checkpoints do not hold.

    Args:
        every: optimiser steps between checkpoints within an epoch; 0: none.
        resumed: the checkpoint that the training goes on from.
    """

    def __init__(self, every: int, resumed: Path | None) -> None:
        self.every, self.resumed = every, resumed
        self.epoch = torch.get_rng_state()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.resumed is not None:
            torch.set_rng_state(load_file(self.resumed / ORDER_FILE)["epoch"])
            self.resumed = None
        self.epoch = torch.get_rng_state()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.every and state.global_step % self.every == 0 and not _ends_epoch(args, state):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # every process keeps its own random state
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            order = torch.get_rng_state() if _ends_epoch(args, state) else self.epoch
            save_file({"epoch": order}, folder / f".{ORDER_FILE}")
            (folder / f".{ORDER_FILE}").rename(folder / ORDER_FILE)


def _ends_epoch(args: Any, state: Any) -> bool:
    return bool(state.global_step % (state.max_steps // int(args.num_train_epochs)) == 0)
