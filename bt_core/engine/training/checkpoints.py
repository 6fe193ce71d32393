"""Checkpoints of a training, from which a killed training goes on instead of starting again.

They are the Trainer's own (adapter, optimiser, schedule, random states, history), in one folder for each training. A
checkpoint counts once its last file is there, which is renamed into place after all others are written: a kill before
that leaves a folder that is ignored and removed. The Trainer reads its own `.pt` and `.pth` files with torch's
`weights_only`, which loads tensors and plain values but no code.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from bt_core.errors import TrainingError, first_line, warn
from bt_core.shared_files import share

#: The last file of a whole checkpoint: the random state from which the epoch's order of rows is drawn.
ORDER_FILE = "order.safetensors"


class CheckpointError(TrainingError):
    """A checkpoint could not be written."""

    def __init__(self, folder: str | Path, error: Exception) -> None:
        super().__init__(
            f"The checkpoints of a training cannot be written into {folder} ({first_line(error)}): check the disk."
        )


@contextmanager
def exclusive(folder: Path | None) -> Iterator[Path]:
    """A folder for one training's checkpoints that no other process uses at the same time.

    It is a temporary folder, from which nothing can be resumed, if there is no folder, another process trains in it, or
    it cannot be written.
    """
    with ExitStack() as held:
        scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="bt-train-"))
        is_ours = folder is not None and held.enter_context(_claimed(folder))
        yield folder if folder is not None and is_ours else Path(scratch)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether the folder is this process's alone; the system ends the claim of a killed process."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(folder.with_name(f"{folder.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        except OSError as error:
            warn(f"{CheckpointError(folder, error)} A killed training will start again from its beginning.")
            is_ours = False
        yield is_ours


def forget(folder: Path | None) -> None:
    """Remove the checkpoints of a training that has ended."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Tell an error of the disk in the block, of whichever library, from others.

    Raises:
        CheckpointError: for an error that the block raised while it wrote.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch raises RuntimeError where the disk is full
        raise CheckpointError(folder, error) from error


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None; half-written ones are removed."""
    whole: dict[int, Path] = {}
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if (path / ORDER_FILE).is_file():
            whole[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return whole[max(whole)] if whole else None


class Checkpoints(TrainerCallback):
    """Asks for checkpoints within an epoch, completes those that are written, and resumes in the same order of rows.

    The Trainer draws an epoch's order of rows from torch's random state at the beginning of the epoch, but its
    checkpoints do not include that state.

    Args:
        every: how many optimiser steps there are between checkpoints within an epoch; 0: none are written.
        resumed: the checkpoint from which the training goes on; None: it starts at the beginning.
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
            torch.distributed.barrier()  # until every process has written its own random state
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            order = torch.get_rng_state() if _ends_epoch(args, state) else self.epoch
            with writing(args.output_dir):
                save_file({"epoch": order}, folder / f".{ORDER_FILE}")
                share(folder)
                (folder / f".{ORDER_FILE}").rename(folder / ORDER_FILE)


def _ends_epoch(args: Any, state: Any) -> bool:
    return bool(state.global_step % (state.max_steps // int(args.num_train_epochs)) == 0)
