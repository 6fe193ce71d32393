"""The arguments that a sweep was started with, as its folder keeps them."""

from pathlib import Path
from typing import Any, Self

from bt_core.errors import ConfigError
from bt_core.formats.document import Part, Unreadable, load
from bt_core.json_text import BrokenJson, bounded_bytes, parse_json


class SweepArguments(Part):
    """arguments.json: the command line, the arguments of the compiled pipeline, and the id of the pipeline run."""

    command: str
    parameters: dict[str, Any]
    run_id: str

    @classmethod
    def read(cls, path: Path, remedy: str) -> Self:
        """Read the file; `remedy` says in the sentence what to do where it is another file.

        Raises:
            ConfigError: when it is missing, or no sweep wrote it.
        """
        try:
            return load(cls, bounded_bytes(path))
        except FileNotFoundError:
            raise ConfigError(f"{path} is missing, which `bt sweep` writes: {remedy}.") from None
        except (Unreadable, OSError) as error:
            raise ConfigError(f"{path} was not written by a sweep ({error}): {remedy}.") from None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the user made; empty where the arguments hold none.

        Raises:
            ConfigError: when they are no JSON object.
        """
        try:
            chosen = parse_json(str(self.parameters.get("config") or "{}"))
        except BrokenJson:
            chosen = None
        if not isinstance(chosen, dict):
            raise ConfigError("The argument `config` of the sweep is no JSON object: start a sweep of its own.")
        return {"task": self.parameters.get("task", "")} | chosen
