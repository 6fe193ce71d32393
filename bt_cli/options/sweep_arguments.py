"""The arguments that a sweep was started with, as its folder keeps them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bt_core.errors import ConfigError


@dataclass(frozen=True)
class SweepArguments:
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
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(*(content[name] for name in ("command", "parameters", "run_id")))
        except FileNotFoundError:
            raise ConfigError(f"{path} is missing, which `bt sweep` writes: {remedy}.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} was not written by a sweep ({error!r}): {remedy}.") from None
