"""Select: the better of two stages by validation, the earlier on ties. Loads no model."""

import shutil
import time
from pathlib import Path

from bt_core.config import Config
from bt_core.errors import ProgramError
from bt_core.program import Program, read_program
from bt_core.records import StageReport


def select(incumbent: Path, challenger: Path, config: Config, stage: str, selected: Path) -> StageReport:
    """Copy the incumbent, or the challenger when its validation score is higher (or `select` is `last`).

    Raises:
        ProgramError: when a directory is damaged, or the challenger's lineage has no scores.
    """
    started = time.time()
    first, second = read_program(incumbent), read_program(challenger)
    old, new = _scores(first, second, challenger)
    takes = config.select == "last" or new > old
    if selected.exists():
        shutil.rmtree(selected)
    shutil.copytree(challenger if takes else incumbent, selected)
    return StageReport(
        stage,
        "select",
        params={"select": config.select},
        metrics={
            "val/incumbent": old,
            "val/challenger": new,
            "val/score": new if takes else old,
            "select/new": float(takes),
        },
        note=f"Kept the {'challenger' if takes else 'incumbent'}: {old:.3f} against {new:.3f} on validation.",
        started=started,
        ended=time.time(),
    )


def _scores(incumbent: Program, challenger: Program, folder: Path) -> tuple[float, float]:
    """The incumbent's score stands in its own lineage or, for a run's first program, in its successor's."""
    if not challenger.steps or challenger.lineage[-1].val_after is None:
        raise ProgramError(f"The program {folder} has no validation score in its lineage: make it by a step.")
    own = incumbent.lineage[-1].val_after if incumbent.steps else challenger.steps[0].val_before
    if own is None:
        raise ProgramError(f"The program {folder} does not say how its origin scored: make it by a step.")
    return own, challenger.lineage[-1].val_after
