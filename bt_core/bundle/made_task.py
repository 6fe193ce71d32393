"""The task of a finished program, which may come from anybody: what it names is used only where the user named it too.

docs/security.md says what this keeps out.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from bt_core.config import merge
from bt_core.errors import ProgramError
from bt_core.task import Task, TaskFactory, attribute_of, is_built_in, is_declaration, with_settings
from bt_core.trust.credentials import redact
from bt_core.trust.named import given, named, nested, unnamed


def load_made_task(reference: str, settings: Mapping[str, Any], chosen: Mapping[str, Any], program: str) -> Task:
    """The task that a program names, with its settings.

    Its module is imported only where it comes with this project or the user named it. Settings that name something
    outside of the task are taken from the user, and refused where the program alone has them.

    Args:
        reference: the task that the program names.
        settings: the task's settings that the program names.
        chosen: the user's configuration, of which `task` and `task_settings` count.
        program: where the program lies, for the sentences.

    Raises:
        ProgramError: when the program names a task or something else that the user did not name.
        TaskError, ConfigError: as `load_task` raises them.
    """
    check_task(reference, str(chosen.get("task") or ""), program)
    own = chosen.get("task_settings") or {}
    attribute = attribute_of(reference)
    keys = attribute.naming({**settings, **own}) if isinstance(attribute, TaskFactory) else ()
    whole = merge(settings, *(nested(key, value) for key, value in given(own, keys).items()))
    refused = unnamed(whole, own, keys)
    if refused:
        raise _reaches_outside(refused, reference, program)
    return with_settings(attribute, whole, reference)


def check_task(reference: str, chosen: str, program: str) -> None:
    """Check that the task of a program is the one that the user named, or one of ours where the user named none.

    Raises:
        ProgramError: when it is another one, or would have to be imported on the program's word alone.
    """
    if chosen and reference != chosen:
        raise ProgramError(
            f"The program {program} was made for task `{reference}`, but the run is of `{chosen}`: name that task, or"
            " use another program."
        )
    if not (chosen or is_built_in(reference) or is_declaration(reference)):
        raise not_named(reference, program)


def not_named(reference: str, program: str) -> ProgramError:
    """The error for a program's task that the user did not name."""
    return ProgramError(
        f"The program {program} names the task `{reference}`, which is no built-in one and is loaded only where you"
        f" name it too: add --task {shlex.quote(reference)} if you trust it."
    )


def naming_options(reference: str, settings: Mapping[str, Any]) -> list[str]:
    """The options by which a user names what a program of this task and these settings needs; the task is imported."""
    task = [] if is_built_in(reference) or is_declaration(reference) else ["--task", reference]
    attribute = attribute_of(reference)
    keys = attribute.naming(settings) if isinstance(attribute, TaskFactory) else ()
    return [*task, *_options(named(settings, keys))]


def _options(settings: Mapping[str, Any]) -> list[str]:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return [part for key, text in texts.items() for part in ("--set", f"task_settings.{key}={redact(text)}")]


def _reaches_outside(settings: Mapping[str, Any], reference: str, program: str) -> ProgramError:
    keys = ", ".join(f"`task_settings.{key}`" for key in settings)
    file = f", or --task FILE with your own {reference}" if is_declaration(reference) else ""
    return ProgramError(
        f"The program {program} sets {keys}, which may name something outside of it and is used only where you set it"
        f" too: add {shlex.join(_options(settings))} if you trust that{file}."
    )
