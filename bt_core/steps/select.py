"""Select: keep the better of two programs by validation score, the earlier on ties. No model is loaded."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from bt_core.config import Config
from bt_core.errors import ProgramError
from bt_core.program import Program, is_same_program, read_program
from bt_core.records import StageReport
from bt_core.steps.handover import UNCHANGED, best_program


@dataclass(frozen=True)
class Selection:
    """Which program is the best so far after a step.

    Attributes:
        best: its directory.
        incumbent: validation score of the best program before the step.
        challenger: validation score of the program that the step made.
        is_new: whether the challenger is the best now.
        is_same: whether the challenger is the program that the step began with.
    """

    best: Path
    incumbent: float
    challenger: float
    is_new: bool
    is_same: bool = field(default=False, compare=False)

    def told(self, report: StageReport) -> StageReport:
        """The step's report with the selection in its metrics and at the end of its note.

        A warning says of a step that it changed nothing, unless it was skipped, which its own warning says.
        """
        metrics = {"select/best": self.challenger if self.is_new else self.incumbent, "select/new": float(self.is_new)}
        kept = "this step's program" if self.is_new else "the earlier program"
        sentence = f"Best so far is {kept}: {self.challenger:.3f} against {self.incumbent:.3f} on validation."
        note = "\n\n".join(filter(None, (report.note, sentence)))
        warnings = report.warnings
        if self.is_same and not report.metrics.get("w/skipped"):
            warnings += (f"`{report.stage}` changed nothing: its program is the one that it began with.",)
        params = report.params | ({UNCHANGED: True} if self.is_same else {})
        return replace(report, params=params, metrics={**report.metrics, **metrics}, note=note, warnings=warnings)


def select(program: Path, optimised: Path, config: Config) -> Selection:
    """Compare the best program so far with the one that a step made.

    The step's program wins where its validation score is higher, or the setting `select` is `last`.

    Args:
        program: the program directory that the step began with; the best one so far may lie in it.
        optimised: the program directory that the step wrote.
        config: the run's merged configuration.

    Raises:
        ProgramError: when a directory is damaged, or the lineages have no validation scores.
    """
    best = best_program(program)
    incumbent, challenger = _scores(read_program(best), read_program(optimised), optimised)
    is_new = config.select == "last" or challenger > incumbent
    is_same = is_same_program(program, optimised)
    return Selection(optimised if is_new else best, incumbent, challenger, is_new, is_same)


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
