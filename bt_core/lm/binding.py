"""Between program directories and DSPy: read a module's prompts, and make a module that runs a program state.

Every predictor's calls go through one engine that knows the predictor's adapter and closed answers, so that no call
can go to other weights than the program names (the released DSPy optimiser scores on the global LM instead).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dspy

from bt_core.config import Decoding
from bt_core.engine.base import EngineAdapter, Request, Sampling
from bt_core.errors import ProgramError
from bt_core.lm.program_engine import ProgramEngine, Refuse, Submit
from bt_core.lm.recording import NAME
from bt_core.lm.values import fields_of, typed
from bt_core.program import Field, PredictorState, Program
from bt_core.task import Task


def predictors_of(module: Any) -> dict[str, Any]:
    """The predictors of a program by their names.

    Raises:
        ProgramError: when it is no DSPy module.
    """
    if not isinstance(module, dspy.Module):
        hint = " (`dspy.streamify` and `dspy.asyncify` make functions: a run calls programs plainly)"
        raise ProgramError(
            f"The program is a {type(module).__name__}, not a `dspy.Module`{hint if callable(module) else ''}: let the"
            " task's `program` make a module."
        )
    return dict(module.named_predictors())


def fresh_program(task: Task) -> tuple[Any, dict[str, Any]]:
    """The module that the task's code makes, and its predictors.

    Raises:
        ProgramError: when it is no DSPy module, has no predictor, or one brings an LM of its own.
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


def adapter_of(task: Task) -> Any:
    """The task's prompt format; by default DSPy's chat format, less its second try in JSON at every parse failure."""
    return task.adapter() if task.adapter is not None else dspy.ChatAdapter(use_json_adapter_fallback=False)


def closed_values(predictor: Any) -> tuple[Any, ...]:
    """The possible values of a predictor whose one output is closed (`Literal` or bool); else none."""
    outputs = list(predictor.signature.output_fields.values())
    if len(outputs) != 1:
        return ()
    values = possible_values(outputs[0].annotation)
    return values if len(values) > 1 else ()


def possible_values(annotation: Any) -> tuple[Any, ...]:
    """The values of a closed type (`Literal` or bool); none for any other."""
    if annotation is bool:
        return (True, False)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def bind(
    task: Task,
    program: Program,
    folder: Path,
    decoding: Decoding,
    seed: int,
    submit: Submit,
    refuse: Refuse,
) -> Any:
    """Make the task's module with the program's prompts, each predictor calling through `submit`.

    Args:
        folder: where the program's adapters lie.
        submit: sends a request and waits for its answer.
        refuse: told why a call cannot be served, before that is raised inside the program.

    Raises:
        ProgramError: when the program was made for other predictors or fields than the task has now.
    """
    module, predictors = fresh_program(task)
    check_fit(task, module, program)
    adapter = adapter_of(task)
    free = Request(messages=(), sampling=Sampling(top_p=decoding.top_p, stop=decoding.stop, seed=seed))
    templates = {
        name: _template(predictor, program.predictors[name], adapter, folder, decoding, free)
        for name, predictor in predictors.items()
    }
    engine = ProgramEngine(templates, free, submit, refuse)
    lm = dspy.LM(
        model=f"bt/{program.model}",
        engine=engine,
        async_engine=engine.in_coroutines,
        cache=False,  # DSPy's cache does not know which adapter answered
        num_retries=0,
        temperature=decoding.temperature,
        max_tokens=decoding.max_tokens,
    )
    for name, predictor in predictors.items():
        state = program.predictors[name]
        setattr(predictor, NAME, name)
        predictor.signature = predictor.signature.with_instructions(state.instructions)
        predictor.demos = [dspy.Example(**typed(predictor.signature, demo)) for demo in state.demos]
        predictor.lm = lm
    return module


def check_fit(task: Task, module: Any, program: Program) -> None:
    """Check a program directory against the module that the task's code makes.

    Raises:
        ProgramError: when its predictors or their fields are others.
    """
    shapes = {name: _shape(predictor) for name, predictor in predictors_of(module).items()}
    for name in sorted(shapes.keys() | program.predictors.keys()):
        if name not in program.predictors or name not in shapes:
            where = "the task's program" if name in shapes else "the program directory"
            raise ProgramError(
                f"Predictor `{name}` is only in {where}: this program directory was made for another program than"
                f" task `{task.name}` has; optimise it again."
            )
        state = program.predictors[name]
        saved = ([_fieldname(f) for f in state.inputs], [_fieldname(f) for f in state.outputs])
        if saved != shapes[name]:
            raise ProgramError(
                f"Predictor `{name}` has fields {_arrow(shapes[name])}, but the program directory was made for"
                f" {_arrow(saved)}: optimise it again."
            )


def _shape(predictor: Any) -> tuple[list[str], list[str]]:
    signature = predictor.signature
    return (
        [_fieldname(f) for f in _fields(signature.input_fields)],
        [_fieldname(f) for f in _fields(signature.output_fields)],
    )


def _fieldname(field: Field) -> str:
    return f"{field.name}: {field.type}"


def _arrow(shape: tuple[list[str], list[str]]) -> str:
    return f"`{', '.join(shape[0])} -> {', '.join(shape[1])}`"


def _fields(fields: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(
        Field(name, _type_name(field.annotation), str((field.json_schema_extra or {}).get("desc", "")))
        for name, field in fields.items()
    )


def _type_name(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")


def _template(
    predictor: Any, state: PredictorState, adapter: Any, folder: Path, decoding: Decoding, free: Request
) -> Request:
    """The predictor's request less its messages: adapter, sampling and closed answers."""
    values = closed_values(predictor) if decoding.closed != "free" else ()
    output = next(iter(predictor.signature.output_fields))
    labels = tuple(
        adapter.format_assistant_message_content(predictor.signature, {output: value}).rstrip() for value in values
    )
    prior = tuple((state.label_prior or {}).get(str(value), 0.0) for value in values)
    return replace(
        free,
        adapter=EngineAdapter(folder / state.adapter.path, state.adapter.sha256) if state.adapter else None,
        labels=labels,
        label_prior=prior,
        walk=decoding.closed == "greedy",
    )
