"""The task of a finished program, which may come from anybody: what it names is used only where the user named it too.

docs/security.md says what this keeps out.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.errors import ConfigError, ProgramError
from bt_core.program import Program
from bt_core.task import Task, TaskFactory, attribute_of, is_built_in, is_declaration, with_settings
from bt_core.trust.credentials import redact
from bt_core.trust.named import given, named, nested, unnamed

#: The ways to score a closed answer by which label priors are measured and used (`decoding.closed`).
_WITH_PRIORS = ("scored", "whole")


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


def made_of(state: Program, overrides: Mapping[str, Any] | None, program: str) -> tuple[Task, Config]:
    """The task and the configuration of a finished program that is used and not scored.

    Args:
        state: the program.
        overrides: the user's settings, which take precedence over the program's.
        program: where the program lies, for the sentences.

    Raises:
        ProgramError, TaskError, ConfigError: as `load_made_task` raises them.
        ConfigError: when closed answers are to be scored another way than the program's label priors were.
    """
    chosen = {key: value for key, value in (overrides or {}).items() if key != "task" or value}
    settings = merge(_needed(state), chosen.get("task_settings", {}))
    task = load_made_task(state.task, settings, chosen, program)
    made_with = {"task": state.task, "task_settings": settings, "decoding": state.decoding}
    config = resolve_config(task.config, made_with, chosen)
    made, now = state.decoding.get("closed", "scored"), config.decoding.closed
    if made != now and now in _WITH_PRIORS and any(one.label_prior for one in state.predictors.values()):
        raise ConfigError(
            f"The label priors of {program} are of `decoding.closed: {made}`, and the settings say `{now}`: leave that"
            " setting out, or make the program with it."
        )
    return task, config


def _needed(state: Program) -> dict[str, Any]:
    """The program's task settings, less the address of a declared task's data, which no answer depends on."""
    is_declared = is_declaration(state.task)
    return {key: value for key, value in state.task_settings.items() if key != "data" or not is_declared}


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
