"""The program directory, which every step reads and writes (see "The law of a step" in docs/architecture.md).

`program.json` is canonical JSON, and adapters are PEFT safetensors with sorted JSON configs. Nothing in the directory
depends on a clock, so that the same inputs give the same bytes.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.errors import ProgramError
from bt_core.formats.document import OtherSchema, Unreadable, load
from bt_core.formats.paths import inside
from bt_core.formats.program_file import ProgramFile
from bt_core.json_text import bounded_bytes
from bt_core.records import canonical_json
from bt_core.shared_files import grant

SCHEMA_VERSION = 1
PROGRAM_FILE = "program.json"
#: The files of an adapter.
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
#: Kind and stage of the first lineage step of a run that starts from a finished program.
START = "start"

Demos = Mapping[str, tuple[dict[str, Any], ...]]
"""Predictor -> its demonstrations."""


@dataclass(frozen=True)
class Field:
    """The parts of a signature's field that a prompt depends on."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True)
class AdapterRef:
    """A LoRA adapter inside a program directory."""

    path: str
    sha256: str


@dataclass(frozen=True)
class PredictorState:
    """The prompt of one predictor, and the adapter that its calls use."""

    instructions: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    demos: tuple[dict[str, Any], ...] = ()
    #: Mean log-probability of each closed answer, subtracted before an answer is chosen; None: not calibrated.
    label_prior: dict[str, float] | None = None
    adapter: AdapterRef | None = None


@dataclass(frozen=True)
class LineageStep:
    """One step in the history of a program.

    Attributes:
        kind: the letter of the step.
        stage: label of the task in the DAG.
        seed: the run's seed.
        config: the step's settings.
        parent: sha256 of the program that the step started from.
        val_before, val_after: mean scores on the validation split; None: not measured.
        outcome: what the step had to leave out; empty: nothing.
    """

    kind: str
    stage: str
    seed: int
    config: dict[str, Any]
    parent: str
    val_before: float | None = None
    val_after: float | None = None
    outcome: str = ""


@dataclass(frozen=True)
class Program:
    """The state of an LM program: prompts, adapters, and the steps that made them."""

    task: str
    model: str
    model_revision: str
    predictors: dict[str, PredictorState]
    #: The decoding settings that the program was made and scored with (`bt_core.config.Decoding`).
    decoding: dict[str, Any] = field(default_factory=dict)
    lineage: tuple[LineageStep, ...] = ()
    #: The settings that the program's task was made with (`task_settings` of the configuration).
    task_settings: dict[str, Any] = field(default_factory=dict)
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def adapters(self) -> dict[str, AdapterRef]:
        """The program's adapters by their paths; a shared adapter is there once."""
        return {state.adapter.path: state.adapter for state in self.predictors.values() if state.adapter}

    @property
    def steps(self) -> tuple[LineageStep, ...]:
        """The steps of the last run alone, without those behind the program that it started from."""
        first = max((number for number, step in enumerate(self.lineage, 1) if step.kind == START), default=0)
        return self.lineage[first:]

    @property
    def demo_count(self) -> int:
        """The demonstrations of all predictors together."""
        return sum(len(state.demos) for state in self.predictors.values())


def adapter_sha256(folder: Path) -> str:
    """The sha256 of an adapter, over its config and weights.

    Raises:
        ProgramError: when either file is missing or may not be read.
    """
    digest = hashlib.sha256()
    for name in ADAPTER_FILES:
        path = folder / name
        if not path.is_file():
            raise ProgramError(f"The adapter folder {folder} has no {name}: the program is incomplete, make it again.")
        try:
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except PermissionError:
            raise ProgramError(f"{path} {grant(path)}.") from None
    return digest.hexdigest()


def program_sha256(folder: Path) -> str:
    """The program's identity: sha256 of `program.json`, which itself names the adapters' hashes."""
    with (folder / PROGRAM_FILE).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_program(program: Program, folder: Path, adapters: Mapping[str, Path] | None = None) -> None:
    """Write a program directory, either whole or not at all.

    Args:
        program: the state to write; every adapter it names must be in `adapters`.
        folder: the directory to write; an existing one is replaced.
        adapters: relative path of an adapter -> folder to copy its PEFT files from.

    Raises:
        ProgramError: when no `program.json` can hold the program, for example since an adapter's path leads out of the
            folder.
    """
    text = _text(program)
    scratch = folder.with_name(folder.name + ".partial")
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True)
    for relative in program.adapters:
        source, target = (adapters or {})[relative], scratch / relative
        target.mkdir(parents=True, exist_ok=True)
        for name in ADAPTER_FILES:
            shutil.copyfile(source / name, target / name)
    (scratch / PROGRAM_FILE).write_text(text, encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    scratch.rename(folder)


def _text(program: Program) -> str:
    """The text of `program.json`, which can be read back."""
    try:
        text = canonical_json(asdict(program))
        load(ProgramFile, text)
    except (Unreadable, ValueError, TypeError, RecursionError) as error:
        raise ProgramError(
            f"The program cannot be written to {PROGRAM_FILE} ({error}): change the task or the step that made it."
        ) from None
    return text


def read_program(folder: Path, verify: bool = True) -> Program:
    """Read a program directory.

    Args:
        folder: the directory.
        verify: compare the sha256 of every adapter with the one in `program.json`.

    Raises:
        ProgramError: when the directory is missing, damaged or of another schema version, a path or a symbolic link in
            it leads out of it, or an adapter was altered.
    """
    path = folder / PROGRAM_FILE
    if not path.is_file():
        raise ProgramError(f"{folder} is no program directory (it has no {PROGRAM_FILE}): give one that a run wrote.")
    try:
        program = _from_json(load(ProgramFile, bounded_bytes(inside(folder, PROGRAM_FILE))).model_dump())
    except OtherSchema as error:
        raise ProgramError(
            f"{path} has schema version {error.version}, this release reads {SCHEMA_VERSION}:"
            " use the release that wrote it."
        ) from None
    except Unreadable as error:
        raise ProgramError(f"{path} is damaged ({error}): make the program again.") from None
    except OSError as error:
        raise ProgramError(f"{path} cannot be read ({error.strerror}): check its rights, or make it again.") from None
    for relative in program.adapters:
        for name in ADAPTER_FILES:
            inside(folder, f"{relative}/{name}")
    if verify:
        for relative, adapter in program.adapters.items():
            sha256 = adapter_sha256(folder / relative)
            if sha256 != adapter.sha256:
                raise ProgramError(
                    f"The adapter {folder / relative} has sha256 {sha256[:12]}, but {PROGRAM_FILE} names"
                    f" {adapter.sha256[:12]}: it was altered, use the original."
                )
    return program


def is_same_program(one: Path, other: Path) -> bool:
    """Whether two program directories hold the same program: all that answers depend on is equal, byte for byte.

    Adapters are compared by their sha256. The lineage, which no answer depends on, is left out.

    Raises:
        ProgramError: when a directory is missing, damaged or of another schema version.
    """
    first, second = (replace(read_program(folder, verify=False), lineage=()) for folder in (one, other))
    return first == second


def _from_json(value: dict[str, Any]) -> Program:
    predictors = {
        name: PredictorState(
            **state
            | {
                "inputs": tuple(Field(**item) for item in state["inputs"]),
                "outputs": tuple(Field(**item) for item in state["outputs"]),
                "demos": tuple(state["demos"]),
                "adapter": AdapterRef(**state["adapter"]) if state["adapter"] else None,
            }
        )
        for name, state in value["predictors"].items()
    }
    lineage = tuple(LineageStep(**step) for step in value["lineage"])
    return Program(**value | {"predictors": predictors, "lineage": lineage})
