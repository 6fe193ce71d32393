"""Select: keep the better of two programs by validation score, the earlier on ties. No model is loaded."""

import shutil
import time
from pathlib import Path

from bt_core.config import Config
from bt_core.errors import ProgramError
from bt_core.program import Program, read_program
from bt_core.records import StageReport


def select(incumbent: Path, challenger: Path, config: Config, stage: str, selected: Path) -> StageReport:
    """Copy the incumbent, or the challenger if its validation score is higher or the setting `select` is `last`.

    Args:
        incumbent: directory of the best program so far.
        challenger: directory of the program that the last step wrote.
        config: the run's merged configuration.
        stage: label of the task in the DAG.
        selected: the program directory to write.

    Raises:
        ProgramError: when a directory is damaged, or the challenger's lineage has no scores.
    """
    started = time.time()
    first, second = read_program(incumbent), read_program(challenger)
    old, new = _scores(first, second, challenger)
    is_replaced = config.select == "last" or new > old
    if selected.exists():
        shutil.rmtree(selected)
    shutil.copytree(challenger if is_replaced else incumbent, selected)
    return StageReport(
        stage,
        "select",
        params={"select": config.select},
        metrics={
            "val/incumbent": old,
            "val/challenger": new,
            "val/score": new if is_replaced else old,
            "select/new": float(is_replaced),
        },
        note=f"Kept the {'challenger' if is_replaced else 'incumbent'}: {old:.3f} against {new:.3f} on validation.",
        started=started,
        ended=time.time(),
    )


def _scores(incumbent: Program, challenger: Program, folder: Path) -> tuple[float, float]:
    """Both validation scores; that of a run's first program is in the lineage of its successor."""
    if not challenger.steps or challenger.lineage[-1].val_after is None:
        raise ProgramError(f"The program {folder} has no validation score in its lineage: make it by a step.")
    own = incumbent.lineage[-1].val_after if incumbent.steps else challenger.steps[0].val_before
    if own is None:
        raise ProgramError(
            f"The program {folder} has no validation score of the program that it was made from: make it by a step."
        )
    return own, challenger.lineage[-1].val_after
