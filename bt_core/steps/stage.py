"""An opened stage: the program and the task that it works on, and the step that it adds to a program's lineage."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.bundle.made_task import load_made_task
from bt_core.config import Config
from bt_core.program import LineageStep, Program, program_sha256, read_program
from bt_core.records import StageReport
from bt_core.task import Task


@dataclass(frozen=True)
class Stage:
    """A task of the pipeline that runs a program, with its inputs read and checked.

    Attributes:
        name: label of the task in the DAG, such as `1.p`.
        kind: `bootstrap`, `evaluate` and so on, or the letter of an optimisation step.
        config: the run's merged configuration.
        folder: the program directory.
        program: what the directory holds.
        task: the task that the program was made for.
        started: when the stage was opened, in Unix seconds.
    """

    name: str
    kind: str
    config: Config
    folder: Path
    program: Program
    task: Task
    started: float

    @classmethod
    def open(cls, name: str, kind: str, folder: Path, config: Config) -> "Stage":
        """Read the program and import its task, which has to be that of the run.

        Raises:
            ProgramError, TaskError: when an input is not usable, or the program names what the configuration does not.
        """
        program = read_program(folder)
        chosen = {"task": config.task, "task_settings": config.task_settings}
        task = load_made_task(program.task, program.task_settings, chosen, str(folder))
        return cls(name, kind, config, folder, program, task, time.time())

    def with_step(
        self, program: Program, settings: dict[str, Any], before: float, after: float, outcome: str = ""
    ) -> Program:
        """Append this stage's step to the lineage of the incoming program, and give that lineage to `program`.

        Args:
            program: what the step made of the incoming program.
            settings: those of the step; a teacher that made the traces is added to them.
            before, after: validation scores of the incoming program and of `program`.
            outcome: what the step had to leave out, if anything.
        """
        teacher = self.config.teacher.model
        step = LineageStep(
            kind=self.kind,
            stage=self.name,
            seed=self.config.seed,
            config=settings | ({"teacher": teacher} if teacher else {}),
            parent=program_sha256(self.folder),
            val_before=before,
            val_after=after,
            outcome=outcome,
        )
        return replace(program, lineage=(*self.program.lineage, step))

    def adapter_folders(self) -> dict[str, Path]:
        """Relative path -> folder of each of the program's adapters, for writing a program that keeps them."""
        return {path: self.folder / path for path in self.program.adapters}

    @property
    def val_score(self) -> float | None:
        """The incoming program's validation score; None where its lineage has none."""
        return self.program.lineage[-1].val_after if self.program.lineage else None


@dataclass(frozen=True)
class FinishedStage:
    """A stage that has ended, of a task that runs several.

    Attributes:
        report: what the stage function returned.
        artifacts: name in MLflow -> path of what the stage wrote.
        data: split -> path of the rows that the stage used.
        program: of a bootstrap: the program directory that made the traces.
    """

    report: StageReport
    artifacts: Mapping[str, Path]
    data: Mapping[str, Path]
    program: Path | None = None
