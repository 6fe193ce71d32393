"""The DSPy module that a task's code makes: its predictors, its prompt format, and which outputs are closed."""

from typing import Any, Literal, get_args, get_origin

import dspy

from bt_core.errors import ProgramError
from bt_core.task import Task


def predictors_of(module: Any) -> dict[str, Any]:
    """The predictors of a program by their names.

    Raises:
        ProgramError: when the program is not a DSPy module.
    """
    if not isinstance(module, dspy.Module):
        hint = " (`dspy.streamify` and `dspy.asyncify` make functions: a run calls programs plainly)"
        raise ProgramError(
            f"The program is a {type(module).__name__}, not a `dspy.Module`{hint if callable(module) else ''}: let the"
            " task's `program` make a module."
        )
    return dict(module.named_predictors())


def fresh_program(task: Task) -> tuple[Any, dict[str, Any]]:
    """Make a new module by the task's code; returns it with its predictors.

    Raises:
        ProgramError: when the program is not a DSPy module, has no predictor, or a predictor has an LM of its own.
    """
    module = task.program()
    predictors = predictors_of(module)
    if not predictors:
        raise ProgramError(f"The program of task `{task.name}` has no predictor: nothing could be optimised.")
    for name, predictor in predictors.items():
        if predictor.lm is not None:
            raise ProgramError(
                f"Predictor `{name}` brings an LM of its own ({getattr(predictor.lm, 'model', 'unnamed')}), which"
                " cannot be optimised: leave its `lm` unset, every predictor runs on the run's `model`."
            )
    return module, predictors


def adapter_of(task: Task) -> Any:
    """The task's prompt format."""
    return (task.adapter or chat_format)()


def chat_format() -> Any:
    """The format by default: DSPy's chat format, without its second try in JSON after a parse error."""
    return dspy.ChatAdapter(use_json_adapter_fallback=False)


def closed_values(predictor: Any) -> tuple[Any, ...]:
    """The possible values of a predictor whose only output is closed (`Literal` or bool); empty for any other."""
    outputs = list(predictor.signature.output_fields.values())
    if len(outputs) != 1:
        return ()
    values = possible_values(outputs[0].annotation)
    return values if len(values) > 1 else ()


def possible_values(annotation: Any) -> tuple[Any, ...]:
    """The values of a closed type (`Literal` or bool); empty for any other type."""
    if annotation is bool:
        return (True, False)
    return get_args(annotation) if get_origin(annotation) is Literal else ()
