"""The prompts of a module as the states that a program directory holds, and whether a directory fits a module."""

from collections.abc import Mapping
from typing import Any, get_args

from bt_core.errors import ProgramError
from bt_core.lm.modules import fresh_program, predictors_of
from bt_core.lm.values import fields_of
from bt_core.program import Field, PredictorState, Program
from bt_core.task import Task


def vanilla_states(task: Task) -> dict[str, PredictorState]:
    """The prompts that the task's own code gives its predictors.

    Raises:
        ProgramError: when the program cannot be optimised.
    """
    return {
        name: PredictorState(
            instructions=predictor.signature.instructions,
            inputs=_fields(predictor.signature.input_fields),
            outputs=_fields(predictor.signature.output_fields),
            demos=tuple(fields_of(demo) for demo in predictor.demos),
        )
        for name, predictor in fresh_program(task)[1].items()
    }


def check_fit(task: Task, module: Any, program: Program) -> None:
    """Check that a program directory was made for the module that the task's code makes.

    Raises:
        ProgramError: when the directory has other predictors, or other fields in one of them.
    """
    signatures = {name: _signature_of(predictor) for name, predictor in predictors_of(module).items()}
    for name in sorted(signatures.keys() | program.predictors.keys()):
        if name not in program.predictors or name not in signatures:
            where = "the task's program" if name in signatures else "the program directory"
            raise ProgramError(
                f"Predictor `{name}` is only in {where}: this program directory was made for another program than"
                f" task `{task.name}` has; optimise it again."
            )
        state = program.predictors[name]
        saved = _signature(state.inputs, state.outputs)
        if saved != signatures[name]:
            raise ProgramError(
                f"Predictor `{name}` has fields {signatures[name]}, but the program directory was made for"
                f" {saved}: optimise it again."
            )


def _signature_of(predictor: Any) -> str:
    return _signature(_fields(predictor.signature.input_fields), _fields(predictor.signature.output_fields))


def _signature(inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> str:
    """The names and types of fields, such as `question: str -> answer: str`, in backticks."""
    left, right = (", ".join(f"{field.name}: {field.type}" for field in fields) for fields in (inputs, outputs))
    return f"`{left} -> {right}`"


def _fields(fields: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(
        Field(name, _type_name(field.annotation), str((field.json_schema_extra or {}).get("desc", "")))
        for name, field in fields.items()
    )


def _type_name(annotation: Any) -> str:
    is_plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if is_plain else str(annotation).replace("typing.", "")
