"""Between program directories and DSPy: read a module's prompts, and make a module that runs a program state.

Every predictor gets an LM of its own, bound to its adapter and its closed answers, so that no call can go
to other weights than the program names (the released DSPy optimiser scores on the global LM instead).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dspy
from dspy.lm15 import ContextLengthError
from dspy.lm15 import Message as DspyMessage
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse
from dspy.lm15 import Usage as DspyUsage

from bt_core.config import Decoding
from bt_core.engine.base import Completion, EngineAdapter, Message, Request, Sampling
from bt_core.errors import ProgramError
from bt_core.program import Field, PredictorState, Program
from bt_core.task import Task

Submit = Callable[[str, Request], Completion]
"""Sends a predictor's request and waits: (predictor name, request) -> completion."""


def predictors_of(module: Any) -> dict[str, Any]:
    return dict(module.named_predictors())


def vanilla_states(task: Task) -> dict[str, PredictorState]:
    """The prompts that the task's own code gives its predictors."""
    states = {}
    for name, predictor in predictors_of(task.program()).items():
        signature = predictor.signature
        states[name] = PredictorState(
            instructions=signature.instructions,
            inputs=_fields(signature.input_fields),
            outputs=_fields(signature.output_fields),
            demos=tuple(dict(demo) for demo in predictor.demos),
        )
    if not states:
        raise ProgramError(f"The program of task `{task.name}` has no predictor: nothing could be optimised.")
    return states


def adapter_of(task: Task) -> Any:
    """The task's prompt format; by default DSPy's chat format, less its second try in JSON at every parse failure."""
    return task.adapter() if task.adapter is not None else dspy.ChatAdapter(use_json_adapter_fallback=False)


def closed_values(predictor: Any) -> tuple[Any, ...]:
    """The possible values of a predictor whose one output is closed (`Literal` or bool); else none."""
    outputs = list(predictor.signature.output_fields.values())
    if len(outputs) != 1:
        return ()
    annotation = outputs[0].annotation
    if annotation is bool:
        return (True, False)
    values = get_args(annotation) if get_origin(annotation) is Literal else ()
    return values if len(values) > 1 else ()


def bind(task: Task, program: Program, folder: Path, decoding: Decoding, seed: int, submit: Submit) -> Any:
    """Make the task's module with the program's prompts, each predictor calling through `submit`.

    Raises:
        ProgramError: when the program was made for other predictors or fields than the task has now.
    """
    module = task.program()
    predictors = predictors_of(module)
    check_fit(task, module, program)
    adapter = adapter_of(task)
    for name, predictor in predictors.items():
        state = program.predictors[name]
        predictor.signature = predictor.signature.with_instructions(state.instructions)
        predictor.demos = [dspy.Example(**demo) for demo in state.demos]
        engine = _PredictorEngine(name, _template(predictor, state, adapter, folder, decoding, seed), submit)
        predictor.lm = dspy.LM(
            model=f"bt/{program.model}",
            engine=engine,
            cache=False,  # DSPy's cache does not know which adapter answered
            num_retries=0,
            temperature=decoding.temperature,
            max_tokens=decoding.max_tokens,
        )
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
    predictor: Any, state: PredictorState, adapter: Any, folder: Path, decoding: Decoding, seed: int
) -> Request:
    """The predictor's request less its messages: adapter, sampling and closed answers."""
    values = closed_values(predictor) if decoding.closed != "free" else ()
    output = next(iter(predictor.signature.output_fields))
    labels = tuple(
        adapter.format_assistant_message_content(predictor.signature, {output: value}).rstrip() for value in values
    )
    prior = tuple((state.label_prior or {}).get(str(value), 0.0) for value in values)
    return Request(
        messages=(),
        adapter=EngineAdapter(folder / state.adapter.path, state.adapter.sha256) if state.adapter else None,
        sampling=Sampling(top_p=decoding.top_p, stop=decoding.stop, seed=seed),
        labels=labels,
        label_prior=prior,
        walk=decoding.closed == "greedy",
    )


@dataclass(frozen=True)
class _PredictorEngine:
    """A DSPy engine (`complete(Request) -> Response`) for one predictor."""

    predictor: str
    template: Request
    submit: Submit

    def __deepcopy__(self, memo: dict[int, Any]) -> "_PredictorEngine":
        return self  # DSPy copies LMs; there is one engine

    def complete(self, request: DspyRequest) -> DspyResponse:
        completion = self.submit(self.predictor, self._translate(request))
        if completion.error is not None:
            raise ContextLengthError(completion.error)
        usage = DspyUsage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens)
        message = DspyMessage.assistant(completion.text or " ")  # DSPy refuses an empty part
        return DspyResponse(id=None, model=request.model, message=message, finish_reason="stop", usage=usage)

    def _translate(self, request: DspyRequest) -> Request:
        messages = [Message(message.role, message.text or "") for message in request.messages]
        if request.system is not None:
            system = request.system if isinstance(request.system, str) else "".join(p.text for p in request.system)
            messages.insert(0, Message("system", system))
        config, sampling = request.config, self.template.sampling
        temperature = config.temperature if config.temperature is not None else sampling.temperature
        seed = config.seed if config.seed is not None else sampling.seed
        if self.template.labels:
            chosen = Sampling(temperature=temperature, seed=seed) if temperature else Sampling()
        else:
            chosen = Sampling(
                temperature=temperature,
                top_p=config.top_p if config.top_p is not None else sampling.top_p,
                max_tokens=config.max_tokens or sampling.max_tokens,
                stop=tuple(config.stop) or sampling.stop,
                seed=seed,
            )
        return replace(self.template, messages=tuple(messages), sampling=chosen)

    def stream(self, request: DspyRequest) -> Any:
        raise ProgramError(f"Predictor `{self.predictor}` streams, which optimised programs do not: call it plainly.")

    def close(self) -> None:
        pass
