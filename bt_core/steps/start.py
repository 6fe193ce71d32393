"""The finished program that a run starts from, where the setting `start` names one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bt_core.bundle import fetch
from bt_core.bundle.made_task import check_task, load_made_task
from bt_core.config import Config
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
        """Fetch the program and verify it.

        Args:
            address: a program directory, or a bundle at `s3://bucket/prefix`.

        Raises:
            ProgramError: when the address holds no usable program.
            DataError, WorldError: when S3 refuses or fails.
        """
        folder = fetch(address)
        return cls(address, folder, read_program(folder))

    def settings(self, task: str) -> Mapping[str, Any]:
        """The settings that the program was made with, which hold in the run unless the user sets others.

        Raises:
            ProgramError: when the program was made for another task.
        """
        program = self.program
        check_task(program.task, task, self.address)
        return {"model": program.model, "decoding": program.decoding, "task_settings": program.task_settings}

    def task(self, settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> Task:
        """The task of the program, with the settings of the run.

        Args:
            settings: the task's settings, merged from those of the program and the user's.
            chosen: the settings that the user gave.

        Raises:
            ProgramError: when the program names what the user did not name.
        """
        return load_made_task(self.program.task, settings, chosen, self.address)

    def state(self, task: Task, config: Config, model: BaseModel) -> Program:
        """The program that the run begins with: its lineage gets a step without a score.

        The validation rows may differ from those of the earlier run, so that the earlier scores cannot be compared.

        Raises:
            ProgramError: when the task's program now has other predictors or fields.
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
        """Relative path -> folder of each of the program's adapters."""
        return {path: self.folder / path for path in self.program.adapters}
