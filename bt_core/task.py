"""Tasks: what a user brings. A program factory, a metric, and rows.

A task is named by an import path, `package.module:attribute`. A bare name is that of a built-in task, or of a module
whose task is called `task`. The name of a YAML or JSON file stands for the task that it declares (docs/tasks.md).
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_origin

from bt_core.config import Section, load_config_file, validated
from bt_core.errors import ConfigError, TaskError
from bt_core.records import Row
from bt_core.user_code import add_user_folders, keeping_variables

#: The package where a bare task name is looked up first.
BUILTIN_PACKAGE = "bt_tasks"
#: The factory of declared tasks, and the suffixes of the files that declare them.
DECLARED = "bt_tasks.support.declared:task"
DECLARATIONS = (".yaml", ".yml", ".json")
#: Keys of such a file that hold texts alone: labels called `no` or `1.0` are no truth values and numbers.
_DECLARED_TEXTS = (
    "name",
    "description",
    "signature",
    "instructions",
    "fields",
    "labels",
    "columns",
    "stratify",
    "group",
)


@dataclass(frozen=True)
class Task:
    """A compound LM program with one metric for its end result.

    Attributes:
        name: a short name for tables and tracking.
        program: returns a new `dspy.Module`; its demos and instructions are the "vanilla" prompts.
        metric: `metric(example, prediction)` or `metric(example, prediction, trace)` -> number in [0, 1],
            higher is better. `trace` is None when scoring and a list of calls when bootstrapping.
        inputs: the columns that the program is called with.
        labels: further columns, which the metric reads.
        data: the rows, or the rows of each split (`train`, `val`, `test`) where the splits are given; or a function
            that returns either, so that they are read only where they are needed; or an address, as for `--data`.
        stratify: a column whose values every split has in the same proportions.
        group: a column that names the group of a row, such as its document or its user. A group is never divided
            between splits, and every interval and test counts groups, not rows, as independent (docs/statistics.md).
        adapter: returns the `dspy.Adapter` that renders prompts; None stands for DSPy's default chat format.
        config: settings for this task, which replace the defaults; the user's settings replace these.
        description: one line for `bt tasks`.
    """

    name: str
    program: Callable[[], Any]
    metric: Callable[..., Any]
    inputs: tuple[str, ...]
    labels: tuple[str, ...] = ()
    data: Sequence[Row] | Mapping[str, Sequence[Row]] | Callable[[], Any] | str | Path | None = None
    stratify: str = ""
    group: str = ""
    adapter: Callable[[], Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""

    def group_of(self, row: Row) -> str | None:
        """The name of the row's group; None where the task has no groups."""
        return str(row[self.group]) if self.group else None


@dataclass(frozen=True)
class TaskFactory:
    """A task that has settings of its own: `task_settings` in the configuration.

    Attributes:
        settings: the names, types and defaults of the settings.
        make: returns the task for given settings. Every step calls it, so it should read no files: leave that to
            `Task.data` and to what the program calls.
        names: dotted keys of the settings that name something outside of the task: an address, a file, an environment
            variable. What a finished program says there is used only where the user says it too (docs/security.md).
            None: every setting besides numbers, truth values and choices (`Literal`).
    """

    settings: type[Section]
    make: Callable[[Any], Task]
    names: tuple[str, ...] | None = None

    def naming(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The keys of `names`, or of those settings that it stands for where it is None."""
        if self.names is not None:
            return self.names
        fields = self.settings.model_fields
        return tuple(key for key in settings if key not in fields or not _is_plain(fields[key].annotation))


def load_task(reference: str, settings: Mapping[str, Any] | None = None) -> Task:
    """Import a task and give it its settings.

    Args:
        reference: import path, built-in name, or the file name of a declared task.
        settings: the `task_settings` of the configuration; those of a declared task hold the whole declaration.

    Raises:
        TaskError: when the module cannot be imported, or its attribute is not a complete task.
        ConfigError: when the task does not have these settings; the sentence names each key.
    """
    values = dict(settings or {})
    if is_declaration(reference) and not values:
        values = read_declaration(Path(reference))
    return with_settings(attribute_of(reference), values, reference)


def attribute_of(reference: str) -> Any:
    """Import what a task's name stands for: a `Task` or a `TaskFactory`, which nothing has checked.

    Raises:
        TaskError: when it cannot be imported.
    """
    return _imported(DECLARED if is_declaration(reference) else reference)


def with_settings(attribute: Any, settings: Mapping[str, Any], reference: str) -> Task:
    """The task that `attribute_of` found, with its settings.

    Raises:
        TaskError, ConfigError: as `load_task` raises them.
    """
    return _checked(_made(attribute, settings, reference), reference)


def is_built_in(reference: str) -> bool:
    """Whether a task's name is that of a task that comes with this project."""
    return reference.isidentifier() and importlib.util.find_spec(f"{BUILTIN_PACKAGE}.{reference}") is not None


def read_declaration(file: Path) -> dict[str, Any]:
    """The content of a file that declares a task; the default of the task's name is that of the file.

    Raises:
        ConfigError: when the file is missing, cannot be read, or holds no mapping.
    """
    return {"name": file.stem} | load_config_file(file, _DECLARED_TEXTS)


def is_declaration(reference: str) -> bool:
    """Whether a task's name is the name of a file that declares it."""
    return reference.endswith(DECLARATIONS)


def _is_plain(annotation: Any) -> bool:
    """Whether a setting of this type can name nothing outside: a number, a truth value, or one of given choices."""
    return annotation in (int, float, bool) or get_origin(annotation) is Literal


def _made(attribute: Any, settings: Mapping[str, Any], reference: str) -> Any:
    """The task that a factory makes of the settings; anything else as it is, which then must have no settings."""
    if isinstance(attribute, TaskFactory):
        where = f"the settings of task `{reference}`"
        names = "`, `".join(attribute.settings.model_fields)
        prefix = "" if is_declaration(reference) else "task_settings."
        return attribute.make(validated(attribute.settings, settings, where, f"its settings are `{names}`", prefix))
    if settings:
        keys = "`, `".join(f"task_settings.{key}" for key in settings)
        raise ConfigError(f"`{keys}` is no setting of task `{reference}`, which has no settings: remove it.")
    return attribute


def module_of(reference: str) -> str:
    """The module of the task with this name, whether it exists or not; only the packages above it are imported."""
    add_user_folders()
    module, colon, _ = reference.partition(":")
    built_in = f"{BUILTIN_PACKAGE}.{reference}"
    is_users = (
        reference.isidentifier() and not importlib.util.find_spec(built_in) and importlib.util.find_spec(reference)
    )
    return module if colon or is_users else built_in


def _imported(reference: str) -> Any:
    module_name, attribute = module_of(reference), reference.partition(":")[2]
    try:
        with keeping_variables("MLFLOW_"):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            hint = "use a built-in name (`bt tasks`) or `package.module:attribute`, from the folder that holds it"
            raise TaskError(f"The task `{reference}` was not found (no module {error.name}): {hint}.") from None
        raise TaskError(
            f"The task module {module_name} needs {error.name}, which is not installed: install it."
        ) from None
    except Exception as error:  # a user's module may raise anything while it is imported
        raise TaskError(
            f"The task module {module_name} fails on import ({type(error).__name__}: {error}): correct it."
        ) from None
    if not hasattr(module, attribute or "task"):
        raise TaskError(f"The module {module_name} has no `{attribute or 'task'}`: name its `bt_core.task.Task` there.")
    return getattr(module, attribute or "task")


def _checked(task: Any, reference: str) -> Task:
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise TaskError(f"The task `{reference}` is a {kind}, not a `bt_core.task.Task`: wrap it in one.")
    missing = [name for name in ("program", "metric") if not callable(getattr(task, name))]
    if missing or not task.inputs:
        what = ", ".join(f"`{name}`" for name in missing or ["inputs"])
        raise TaskError(f"The task `{reference}` has no {what}: set it where the Task is made.")
    if hasattr(task.program, "named_predictors") and not isinstance(task.program, type):
        kind = type(task.program).__name__
        raise TaskError(
            f"The `program` of task `{reference}` is a module that is made already, and every step makes a new one:"
            f" write `program={kind}`, or `program=lambda: {kind}(...)` where it takes arguments."
        )
    return task
