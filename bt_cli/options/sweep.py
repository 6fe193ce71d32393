"""The request for a sweep, checked before anything is imported or written."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bt_cli.options.settings import RunSettings, guarded
from bt_cli.run_folder import SweepFolder
from bt_core.errors import ConfigError
from bt_core.steps.sweep.choice import BEST, Choice
from bt_core.strategy import Strategy, format_strategy

#: Defaults of a sweep: it measures the headroom before every weight step.
SWEEP_DEFAULTS = MappingProxyType({"w.headroom_samples": 4})


@dataclass(frozen=True)
class FirstLook:
    """A finished sweep that another one extends: its folder, and the command line that makes it again there."""

    folder: SweepFolder
    command: str


@dataclass(frozen=True)
class SweepRequest:
    """The arguments that decide what a sweep computes.

    Raises:
        ConfigError: when the margin is not between 0 and 1, the settings name a seed, or the program to ship is none of
            the sweep's.
    """

    strategies: tuple[Strategy, ...]
    seeds: tuple[int, ...]
    settings: RunSettings
    margin: float
    #: How many looks at the test rows are planned.
    looks: int = 1
    #: Which program is shipped.
    choice: Choice = BEST
    #: What this sweep extends as the second look; None for a first look.
    first: FirstLook | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.margin < 1.0:
            raise ConfigError(f"--margin is {self.margin}: give a difference of scores between 0 and 1, such as 0.05.")
        self.choice.check(self.strategies, self.seeds)
        check_settings(self.settings)

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of the compiled pipeline."""
        planned: dict[str, Any] = {"looks": self.looks, "look": 2 if self.first else 1} if self.looks > 1 else {}
        rule = {"ship": self.choice.named, "max_prompt_tokens": self.choice.most_prompt_tokens}
        planned |= {name: value for name, value in rule.items() if value}
        return {
            **self.settings.parameters,
            "margin": self.margin,
            **planned,
            "command": guarded(json.dumps(self.command)),
        }

    @property
    def command(self) -> str:
        """The command line of the same sweep; of a second look, after that of the first."""
        if self.first:
            return f"{self.first.command} && {shlex.join(self._extending(self.first.folder.path.name))}"
        arms = "; ".join(map(format_strategy, self.strategies))
        seeds = ",".join(map(str, self.seeds))
        compared = ["--strategies", arms, "--seeds", seeds, "--margin", str(self.margin)]
        compared += ["--looks", str(self.looks)] if self.looks > 1 else []
        compared += ["--ship", self.choice.named] if self.choice.named else []
        most = self.choice.most_prompt_tokens
        compared += ["--max-prompt-tokens", f"{most:g}"] if most else []
        chosen = [part for setting in _settings(self.settings.typed) for part in ("--set", setting)]
        return shlex.join(["bt", "sweep", "--task", self.settings.config.task, *compared, *chosen])

    def _extending(self, first: str) -> list[str]:
        """The second command of the two; the first one's folder is named relative to where both are called."""
        rows = self.settings.overrides.get("rows", {}).get("test")
        more = [] if rows is None else ["--test-rows", str(rows)]
        return ["bt", "sweep", "--extend", first, "--seeds", ",".join(map(str, self.seeds)), *more]


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
