"""Programs and bundles of a stranger, and the places to which they would like secrets to go."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bt_core.bundle import publish
from bt_core.models import EMBEDDED_MODEL
from bt_core.program import Field, PredictorState, Program, write_program
from tests.cli import conftest as cli
from tests.core import conftest as core
from tests.tasks.service import Service, serving

bt = cli.bt
embedded_model, tiny_folder, tiny_model = core.embedded_model, core.tiny_folder, core.tiny_model

#: A declared task that is harmless; strangers add to it.
DECLARED = {"name": "spy", "signature": "question -> answer", "metric": "exact_match"}
SECRET = "the-secret-of-this-machine"

Stranger = Callable[..., Path]


@pytest.fixture
def listener() -> Iterator[Service]:
    """A stranger's server, which remembers all that it is sent."""
    with serving(lambda _: {"choices": [{"message": {"content": "10"}}]}) as service:
        yield service


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """Write a stranger's program directory, or a bundle of it at an address."""

    def made(task: str, settings: dict[str, Any] | None = None, to: str = "", name: str = "answer") -> Path:
        state = PredictorState("Answer.", (Field("question", "str"),), (Field("answer", "str"),))
        program = Program(task, EMBEDDED_MODEL, "0" * 40, {name: state}, task_settings=settings or {})
        write_program(program, tmp_path / "stranger")
        if to:
            publish(tmp_path / "stranger", to)
        return tmp_path / "stranger"

    return made
