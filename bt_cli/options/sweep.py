"""The request for a sweep, checked before anything is imported or written."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bt_cli.options.settings import RunSettings
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy

#: Defaults of a sweep: it measures the headroom before every weight step.
SWEEP_DEFAULTS = MappingProxyType({"w.headroom_samples": 4})


@dataclass(frozen=True)
class SweepRequest:
    """The arguments that decide what a sweep computes.

    Raises:
        ConfigError: when the margin is not between 0 and 1, or the settings name a seed.
    """

    strategies: tuple[Strategy, ...]
    seeds: tuple[int, ...]
    settings: RunSettings
    margin: float

    def __post_init__(self) -> None:
        if not 0.0 < self.margin < 1.0:
            raise ConfigError(f"--margin is {self.margin}: give a difference of scores between 0 and 1, such as 0.05.")
        check_settings(self.settings)

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of the compiled pipeline."""
        return {**self.settings.parameters, "margin": self.margin, "command": self.command}

    @property
    def command(self) -> str:
        """The command line of the same sweep."""
        arms = "; ".join(map(format_strategy, self.strategies))
        seeds = ",".join(map(str, self.seeds))
        compared = ["--strategies", arms, "--seeds", seeds, "--margin", str(self.margin)]
        chosen = [part for setting in _settings(self.settings.typed) for part in ("--set", setting)]
        return shlex.join(["bt", "sweep", "--task", self.settings.config.task, *compared, *chosen])


def check_settings(settings: RunSettings) -> None:
    """Refuse settings that a sweep would ignore.

    Raises:
        ConfigError: when they name a seed.
    """
    if "seed" in settings.overrides:
        raise ConfigError("The settings name a `seed`, and a sweep has several: take it out and use --seeds.")


def _settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`key=value` for every single setting, such as `w.epochs=5`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={value if isinstance(value, str) else json.dumps(value)}"
