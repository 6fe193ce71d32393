"""`--config NAME`: settings that come with a task, as `configs/TASK-NAME.yaml` beside its module or file."""

import importlib.util
from pathlib import Path
from typing import Any

from bt_core.config import load_config_file
from bt_core.errors import ConfigError
from bt_core.task import is_declaration, module_of


def load_settings(given: Path, task: str) -> dict[str, Any]:
    """The settings of a file, or of a task's packaged configuration.

    Args:
        given: a file, or the name of a configuration such as `paper`, which has no suffix and is no file.
        task: the task's name, import path, or file; empty: not known yet.

    Raises:
        ConfigError: when there is no such file or configuration; lists the task's configurations.
    """
    if given.suffix or given.exists() or len(given.parts) > 1:
        return load_config_file(given)
    if not task:
        raise ConfigError(f"`--config {given}` names a configuration of a task: name the task too.")
    folder, stem = _configs_of(task)
    path = folder / f"{stem}-{given}.yaml"
    if not path.is_file():
        names = config_names(task)
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise ConfigError(f"The task `{task}` has no configuration `{given}` ({known}): name one of these, or a file.")
    return load_config_file(path)


def config_names(task: str) -> list[str]:
    """The names of the configurations that come with a task.

    Raises:
        ConfigError: when the task cannot be found, or its package cannot be imported.
    """
    folder, stem = _configs_of(task)
    return sorted(file.stem.removeprefix(f"{stem}-") for file in folder.glob(f"{stem}-*.yaml"))


def _configs_of(task: str) -> tuple[Path, str]:
    """The folder of a task's configurations, and what their names begin with; the task itself is not imported."""
    if is_declaration(task):
        return Path(task).parent / "configs", Path(task).stem
    try:
        module = module_of(task)
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    except Exception as error:  # a user's package may raise anything while it is imported
        raise ConfigError(
            f"The package of task `{task}` fails on import ({type(error).__name__}: {error}): correct it."
        ) from None
    if spec is None or spec.origin is None:
        raise ConfigError(f"The task `{task}` was not found, and so were none of its configurations: see `bt tasks`.")
    return Path(spec.origin).parent / "configs", module.rpartition(".")[2]
