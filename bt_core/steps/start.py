"""What a run starts from where `start` names a finished program: its prompts and adapters, checked to fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.bundle import fetch
from bt_core.config import Config
from bt_core.errors import ProgramError
from bt_core.lm.states import check_fit
from bt_core.models import BaseModel
from bt_core.program import START, LineageStep, Program, program_sha256, read_program
from bt_core.task import Task


@dataclass(frozen=True)
class Start:
    """A finished program and its directory on this machine."""

    address: str
    folder: Path
    program: Program

    @classmethod
    def open(cls, address: str) -> "Start":
        """Fetch and verify it.

        Args:
            address: a program directory, or the bundle `s3://bucket/prefix`.

        Raises:
            ProgramError: when there is no usable program.
            DataError, WorldError: when S3 refuses or fails.
        """
        folder = fetch(address)
        return cls(address, folder, read_program(folder))

    def settings(self, task: str) -> Mapping[str, Any]:
        """What the program was made with, which holds in the run unless the user sets it otherwise.

        Raises:
            ProgramError: when it was made for another task.
        """
        program = self.program
        if program.task != task:
            raise ProgramError(
                f"The program {self.address} was made for task `{program.task}`, but the run is of `{task}`: name that"
                " task, or start from another program."
            )
        return {"model": program.model, "decoding": program.decoding, "task_settings": program.task_settings}

    def state(self, task: Task, config: Config, model: BaseModel) -> Program:
        """The program that the run begins with; its lineage goes on with a step that has no score yet.

        Validation rows may be others now, so that the score of its last step would not compare.

        Raises:
            ProgramError: when the task's program has other predictors or fields by now.
        """
        check_fit(task, task.program(), self.program)
        parent = program_sha256(self.folder)
        step = LineageStep(START, START, config.seed, {"start": self.address}, parent)
        states = self.program.predictors
        if config.decoding.calibration == "none":
            states = {name: replace(state, label_prior=None) for name, state in states.items()}
        return replace(
            self.program,
            predictors=states,
            model=model.id,
            model_revision=model.revision,
            decoding=config.decoding.model_dump(mode="json"),
            task_settings=config.task_settings,
            lineage=(*self.program.lineage, step),
        )

    @property
    def adapters(self) -> dict[str, Path]:
        """Where the program's adapters lie."""
        return {path: self.folder / path for path in self.program.adapters}
