"""The toy task, imported by a training whose process ends itself: once at each of several moments, as a pod does.

`TEST_MARKS` names the file that this is written to, with the training's steps.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from tests.retrain.toy import task

__all__ = ["task"]

#: In their order. A step of the second epoch; the adapter half written; its copy in the cache half written; the
#: program directory half written.
MOMENTS = ("step", "adapter", "cache", "program")
#: The step at which the first one is: the fourth ended the first epoch.
STEP = 6


def note(text: str) -> None:
    with Path(os.environ["TEST_MARKS"]).open("a", encoding="utf-8") as marks:
        marks.write(f"{text}\n")


def end(moment: str, how: signal.Signals = signal.SIGKILL) -> None:
    """End this process, unless an earlier one ended here."""
    text = f"{how.name} {moment}"
    if text not in Path(os.environ["TEST_MARKS"]).read_text(encoding="utf-8").splitlines():
        note(text)
        os.kill(os.getpid(), how)


def make_mortal() -> None:
    """Put the ends in place."""
    from bt_core.engine.training import train as training
    from bt_core.engine.training.checkpoints import Checkpoints

    step, save, copy = Checkpoints.on_step_end, training._save, shutil.copyfile

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        note(f"step {state.global_step}")
        if state.global_step == STEP:
            end("step", signal.SIGTERM)
        step(self, args, state, control, **more)

    def half_saved(adapted: Any, base: Any, folder: Path) -> None:
        save(adapted, base, folder)
        weights = folder / "adapter_model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[: len(whole) // 2])
        end("adapter")
        weights.write_bytes(whole)

    def half_copied(source: Any, target: Any, **more: Any) -> Any:
        moment = "cache" if "/.partial-" in str(target) else "program" if ".partial/" in str(target) else ""
        if moment:
            Path(target).write_bytes(Path(source).read_bytes()[:100])
            end(moment, signal.SIGTERM)
        return copy(source, target, **more)

    for owner, name, ending in (
        (Checkpoints, "on_step_end", on_step_end),
        (training, "_save", half_saved),
        (shutil, "copyfile", half_copied),
    ):
        setattr(owner, name, ending)


if "lora_finetune" in sys.argv:  # only in the process of that task
    make_mortal()
