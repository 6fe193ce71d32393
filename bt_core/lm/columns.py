"""The types that a task's program gives its columns; files such as CSV, and a command line, hold text alone."""

import inspect
from collections import defaultdict
from typing import Any, get_args, get_type_hints

import dspy

from bt_core.lm.modules import fresh_program
from bt_core.task import Task


def column_types(task: Task) -> dict[str, Any]:
    """Column -> its type, for inputs and labels whose type the program says.

    An input has the type of the parameter of that name of `forward`, or else of the predictors' input fields of that
    name; a label has that of the output fields of its name. Where fields of one name differ, the type is not known.

    Raises:
        ProgramError: when the task's code makes no program that can be optimised.
    """
    module, predictors = fresh_program(task)
    signatures = [predictor.signature for predictor in predictors.values()]
    inputs = _agreed([signature.input_fields for signature in signatures]) | _parameters(module)
    outputs = _agreed([signature.output_fields for signature in signatures])
    named = {name: inputs[name] for name in task.inputs if name in inputs}
    named |= {name: outputs[name] for name in task.labels if name in outputs}
    return {name: kind for name, kind in named.items() if not _is_medium(kind)}


def _agreed(sides: list[Any]) -> dict[str, Any]:
    """Field -> its type, where all fields of that name have one type."""
    kinds: dict[str, list[Any]] = defaultdict(list)
    for fields in sides:
        for name, field in fields.items():
            if field.annotation not in kinds[name]:
                kinds[name].append(field.annotation)
    return {name: found[0] for name, found in kinds.items() if len(found) == 1}


def _parameters(module: Any) -> dict[str, Any]:
    """Parameter of the module's `forward` -> its annotation, for those that have one."""
    kind = type(module)  # DSPy warns where `forward` is taken from the module itself
    forward = getattr(kind, "forward", None) or getattr(kind, "aforward", None)
    try:
        hints = get_type_hints(forward)
        names = inspect.signature(forward).parameters.values() if forward else ()
    except (TypeError, NameError, AttributeError, ValueError):  # annotations that Python cannot evaluate
        return {}
    return {one.name: hints[one.name] for one in names if one.name in hints and one.kind is not one.VAR_KEYWORD}


def _is_medium(kind: Any) -> bool:
    """Whether the type is one of DSPy's own, such as an image: those would load what a text names."""
    return any(isinstance(part, type) and issubclass(part, dspy.Type) for part in (kind, *get_args(kind)))
