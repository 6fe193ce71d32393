"""The DSPy module that a task's code makes: its predictors, its prompt format, and which outputs are closed."""

from typing import Any, Literal, get_args, get_origin

import dspy

from bt_core.errors import ProgramError
from bt_core.task import Task

#: Names that `dspy.Predict` takes out of a call's inputs, since they are options of the call (dspy 3.4, predict.py).
RESERVED = frozenset({"signature", "demos", "config", "lm", "_trace"})


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
        ProgramError: when the program is not a DSPy module, has no predictor, a predictor has an LM of its own, or a
            field or column has a name that Python or DSPy keeps for itself.
    """
    if "self" in task.inputs:
        raise ProgramError(
            f"Task `{task.name}` has an input column `self`, which no program can be called with: rename it."
        )
    module = task.program()
    predictors = predictors_of(module)
    if not predictors:
        raise ProgramError(f"The program of task `{task.name}` has no predictor: nothing could be optimised.")
    for name, predictor in predictors.items():
        taken = RESERVED.intersection(predictor.signature.input_fields) | {"self"}.intersection(
            predictor.signature.fields
        )
        if taken:
            raise ProgramError(
                f"Predictor `{name}` has a field called `{min(taken)}`, which DSPy takes for an option of the call:"
                " rename the field in its signature."
            )
        if predictor.lm is not None:
            raise ProgramError(
                f"Predictor `{name}` brings an LM of its own ({getattr(predictor.lm, 'model', 'unnamed')}), which"
                " cannot be optimised: leave its `lm` unset, every predictor runs on the run's `model`."
            )
    return module, predictors


def frozen_modules(module: Any) -> dict[str, Any]:
    """The sub-modules, by name, whose predictors are not optimised, since DSPy's optimisers mark what they return.

    A predictor that is marked itself is optimised all the same.
    """
    return {
        name.removeprefix("self."): part
        for name, part in module.named_sub_modules(type_=dspy.Module)
        if name != "self" and getattr(part, "_compiled", False) and not isinstance(part, dspy.Predict)
    }


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
