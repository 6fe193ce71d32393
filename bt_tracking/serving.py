"""A program as an MLflow model that answers as `bt predict` does.

The model's files are the program directory and MLflow's own descriptions, without code and pickles: MLflow imports this
module from the installation and calls `_load_pyfunc`.
"""

import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bt_core.config import resolve_config
from bt_core.program import read_program
from bt_core.steps.handover import copy_program
from bt_core.task import load_task
from bt_tracking.connection import quieten

#: Path of the program directory in a saved model.
PROGRAM = "data/program"


def save_model(program: Path, folder: Path) -> None:
    """Save a program directory as an MLflow model in a folder that must not exist.

    Raises:
        ProgramError: when the program directory is damaged.
    """
    read_program(program)
    quieten()
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, Path(PROGRAM).name)
        copy_program(program, copy)
        pyfunc.save_model(
            path=str(folder),
            loader_module=__name__,
            data_path=str(copy),
            pip_requirements=[f"bettertogether-kfp=={version('bettertogether-kfp')}"],
        )


class ServedProgram:
    """The model behind `mlflow.pyfunc.load_model(...).predict`. The first call loads the base model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._engine: Any = None

    def predict(self, inputs: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answer rows of inputs: a data frame, a mapping, or several mappings. The predictions are mappings too.

        Raises:
            DataError: when an input is missing or unknown.
        """
        from bt_core.steps.predict import predict  # slow to import, and not needed to save a program

        return [predict(self.folder, row, self.named, self.engine) for row in _rows(inputs)]

    def get_raw_model(self) -> "ServedProgram":
        """This object, for callers that hold MLflow's wrapper around it."""
        return self

    @property
    def named(self) -> dict[str, Any]:
        """What the program names, as if the user did: who loads an MLflow model lets it import what it names."""
        state = read_program(self.folder)
        return {"task": state.task, "task_settings": state.task_settings}

    @property
    def engine(self) -> Any:
        """The base model's engine, loaded once for all calls."""
        if self._engine is None:
            from bt_core.steps.engines import load_engine

            state = read_program(self.folder)
            task = load_task(state.task, state.task_settings)
            made_with = {"task": state.task, "task_settings": state.task_settings, "decoding": state.decoding}
            self._engine = load_engine(state, resolve_config(task.config, made_with))
        return self._engine


def _rows(inputs: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(inputs, Mapping):
        return [inputs]
    to_dict = getattr(inputs, "to_dict", None)  # a pandas data frame has it
    rows: Iterable[Mapping[str, Any]] = to_dict("records") if to_dict else inputs
    return rows


def _load_pyfunc(path: str) -> ServedProgram:
    return ServedProgram(Path(path))
