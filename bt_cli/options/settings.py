"""From command-line options to the settings of a run: the file first, then the options, then `--set`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bt_cli.options.named_configs import load_settings
from bt_core.config import Config, merge, resolve_config
from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, parse_json
from bt_core.task import is_declaration, read_declaration

#: How placeholders of Kubeflow and of Argo begin.
BRACES = "{{"
#: Keys in a task's file whose texts may name files beside it.
_DECLARED_PATHS = ("data",)


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run, merged and checked.

    `config` holds every setting, but not the task's own defaults; `overrides` holds only what the user set.
    `declared` is the content of a declared task's file, which is part of both. `task` is the task as the user wrote it.
    """

    config: Config
    overrides: dict[str, Any]
    declared: dict[str, Any] = field(default_factory=dict)
    task: str = ""

    @property
    def chosen(self) -> dict[str, Any]:
        """The overrides without the task."""
        return {key: value for key, value in self.overrides.items() if key != "task"}

    @property
    def typed(self) -> dict[str, Any]:
        """The overrides without the task and the content of its file: what a command line has to name."""
        own = {
            key: value
            for key, value in self.chosen.get("task_settings", {}).items()
            if key not in self.declared or self.declared[key] != value
        }
        rest = {key: value for key, value in self.chosen.items() if key != "task_settings"}
        return {**rest, "task_settings": own} if own else rest

    @property
    def parameters(self) -> dict[str, str]:
        """The overrides as pipeline parameters: the task has one of its own, the rest travels as JSON in `config`.

        Raises:
            ConfigError: when the task's name holds a placeholder of Kubeflow.
        """
        chosen = json.dumps(self.chosen, sort_keys=True) if self.chosen else ""
        if BRACES in self.config.task:
            raise ConfigError(f"The task {self.config.task} holds `{BRACES}`, which begins a placeholder of Kubeflow.")
        texts = {"task": self.config.task, "config": guarded(chosen)}
        return {key: text for key, text in texts.items() if text}


def guarded(json_text: str) -> str:
    """JSON of the same value in which Kubeflow and Argo find nothing that they would take for a placeholder.

    In JSON two braces stand only inside of texts, where one of them can be written as its code.
    """
    return json_text.replace(BRACES, "{\\u007b")


def gather(
    options: Mapping[str, Any],
    file: Path | None = None,
    assignments: Sequence[str] | None = None,
    default_task: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> RunSettings:
    """Merge and check everything the user set, before anything is imported or written.

    Args:
        options: dotted key -> value of the command's own options; None where an option is not given.
        file: JSON or YAML mapping of settings, or the name of a configuration that comes with the task.
        assignments: `key=value` texts of `--set`.
        default_task: the task when none is named; empty where an argument of the pipeline will name it.
        defaults: dotted key -> default of the command, which the user's settings override.

    Raises:
        ConfigError: with every mistake at once.
    """
    given = [_nested(key, value) for key, value in options.items() if value is not None]
    chosen = [*given, *_assigned(assignments or ())]
    layers = [
        {"task": default_task},
        *(_nested(key, value) for key, value in defaults.items()),
        load_settings(file, str(merge({"task": default_task}, *chosen)["task"])) if file else {},
        *chosen,
    ]
    whole = merge(*layers)
    merged, declared = _with_declaration(_absolute(whole))
    config = resolve_config(merged)
    return RunSettings(config, config.model_dump(mode="json", exclude_unset=True), declared, str(whole["task"]))


def _with_declaration(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings with the content of the task's file, if it has one, and that content.

    The task then has the file's bare name, since a step on another machine has no use for its folder.
    """
    file = Path(str(settings.get("task", ""))).expanduser()
    if not is_declaration(file.name):
        return settings, {}
    own = settings.get("task_settings", {})
    if own and not file.exists():  # the settings hold the declaration already
        return {**settings, "task": file.name}, {}
    folder = file.resolve().parent
    declared = read_declaration(file)
    declared |= {key: _beside(declared[key], folder) for key in _DECLARED_PATHS if key in declared}
    return {**settings, "task": file.name, "task_settings": merge(declared, own)}, declared


def _beside(value: Any, folder: Path) -> Any:
    """The value, with absolute paths for texts that name files in the folder."""
    if isinstance(value, Mapping):
        return {key: _beside(text, folder) for key, text in value.items()}
    return str(folder / value) if isinstance(value, str) and value and (folder / value).exists() else value


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
    """Lists and groups are read as JSON. Everything else stays text, which the configuration converts."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return parse_json(text)
    except BrokenJson as error:
        raise ConfigError(f'`--set {key}=...` is broken JSON ({error.reason}): quote it as \'["a", "b"]\'.') from None


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """Make local paths absolute: tasks run in folders of their own, not where `bt` was started."""
    resolved = dict(settings)
    for key in ("data", "model", "start"):
        value = resolved.get(key)
        if isinstance(value, str) and value and value != Config.model_fields[key].default:
            path = Path(value).expanduser()
            resolved[key] = str(path.resolve()) if path.exists() else value
    own = resolved.get("task_settings")
    if isinstance(own, Mapping):
        resolved["task_settings"] = {key: _absolute_file(value) for key, value in own.items()}
    return resolved


def _absolute_file(value: Any) -> Any:
    """An absolute path for a text that has a suffix or folder and names an existing file; else the value itself."""
    if not isinstance(value, str) or not value or len(value) > 1000:
        return value
    path = Path(value).expanduser()
    return str(path.resolve()) if (path.suffix or len(path.parts) > 1) and path.exists() else value
