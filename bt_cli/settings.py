"""From command-line options to the settings of a run: the file first, then the options, then `--set`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bt_core.config import Config, load_config_file, merge, resolve_config
from bt_core.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """`config` is checked and whole (less the task's own defaults); `overrides` holds only what the user set."""

    config: Config
    overrides: dict[str, Any]

    @property
    def chosen(self) -> dict[str, Any]:
        """The overrides less the task."""
        return {key: value for key, value in self.overrides.items() if key != "task"}

    @property
    def parameters(self) -> dict[str, str]:
        """The overrides as pipeline parameters: the task has one of its own, the rest travels as JSON in `config`."""
        chosen = json.dumps(self.chosen, sort_keys=True) if self.chosen else ""
        texts = {"task": self.config.task, "config": chosen}
        return {key: text for key, text in texts.items() if text}


def gather(
    options: Mapping[str, Any],
    file: Path | None = None,
    assignments: Sequence[str] | None = None,
    default_task: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """Merge and check everything the user set, before anything is imported or written.

    Args:
        options: dotted key -> value of the command's own options; None means not given.
        file: JSON or YAML mapping of settings.
        assignments: `key=value` texts of `--set`.
        default_task: the task when none is named; empty where a pipeline is to name it later.
        defaults: dotted key -> value of the command's own, which anything that the user set replaces.

    Raises:
        ConfigError: with every mistake at once.
    """
    given = {key: value for key, value in options.items() if value is not None}
    layers = [
        {"task": default_task},
        *(_nested(key, value) for key, value in defaults.items()),
        load_config_file(file) if file else {},
        *(_nested(key, value) for key, value in given.items()),
        *_assigned(assignments or ()),
    ]
    merged = _absolute(merge(*layers))
    config = resolve_config(merged)
    return Settings(config, config.model_dump(mode="json", exclude_unset=True))


def _nested(dotted: str, value: Any) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def _assigned(assignments: Sequence[str]) -> list[dict[str, Any]]:
    wrong = [text for text in assignments if not text.partition("=")[0].strip() or "=" not in text]
    if wrong:
        raise ConfigError(
            f"`--set` takes key=value, but was given {', '.join(map(repr, wrong))}: write --set w.epochs=5."
        )
    pairs = [text.split("=", 1) for text in assignments]
    return [_nested(key.strip(), _value(key, text)) for key, text in pairs]


def _value(key: str, text: str) -> Any:
    """Lists and groups are JSON; everything else stays text, which the configuration reads as its own type."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f'`--set {key}=...` is broken JSON ({error.msg}): quote it as \'["a", "b"]\'.') from None


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """Tasks run in folders of their own, so local paths must not depend on where `bt` was started."""
    found = dict(settings)
    for key in ("data", "model"):
        value = found.get(key)
        if isinstance(value, str) and value and value != Config.model_fields[key].default:
            path = Path(value).expanduser()
            found[key] = str(path.resolve()) if path.exists() else value
    return found
