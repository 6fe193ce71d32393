"""Calling a program, and turning its calls into plain records."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dspy

from bt_core.lm.modules import closed_values, predictors_of
from bt_core.lm.recording import NAME, Exchange, Recording
from bt_core.lm.values import as_rendered, plain
from bt_core.records import Call, canonical_json


def run_program(module: Any, inputs: Mapping[str, Any]) -> Any:
    """Call the program; a program that has only `aforward` is awaited."""
    if hasattr(type(module), "aforward") and not (hasattr(type(module), "forward") or "forward" in vars(module)):
        return asyncio.run(module.acall(**inputs))
    return module(**inputs)


def as_line(failure: Exception) -> str:
    """An exception of the user's code on one line."""
    return f"{type(failure).__name__}: {str(failure).strip()[:500]}"


def calls_of(module: Any, recording: Recording, steps: Sequence[Any]) -> tuple[Call, ...]:
    """The calls of `traced_calls` without DSPy's steps."""
    return tuple(call for _, call in traced_calls(module, recording, steps))


def traced_calls(module: Any, recording: Recording, steps: Sequence[Any]) -> list[tuple[Any, Call]]:
    """DSPy's trace as calls by predictor name, each with its step of that trace.

    Closed answers come with the log-probabilities of their labels.

    Calls that nothing could be learnt from are left out: calls of predictors made inside `forward`, which have no state
    to optimise, and calls under another signature than the program's.

    Args:
        module: the bound program.
        recording: that of the run.
        steps: DSPy's trace of the run: (predictor, inputs, prediction) each.
    """
    predictors = predictors_of(module)
    position = {name: index for index, name in enumerate(predictors)}

    def rank(step: Any) -> tuple[int, str]:
        return position.get(getattr(step[0], NAME, ""), -1), canonical_json(plain(dict(step[1])))

    calls = []
    for step, exchange in recording.in_order(steps, rank):
        predictor, inputs, prediction = step
        name = getattr(predictor, NAME, "")
        if name not in predictors:
            continue
        signature = predictors[name].signature
        if not signature.output_fields.keys() <= set(prediction.keys()):
            continue
        given = exchange.inputs if exchange is not None else {}
        call_inputs = {
            key: given[key] if key in given else plain(value)
            for key, value in inputs.items()
            if key in signature.input_fields
        }
        outputs = as_rendered(
            signature,
            {key: prediction[key] for key in signature.output_fields},
            partial(dspy.settings.adapter.format_assistant_message_content, signature),
        )
        calls.append((step, Call(name, call_inputs, outputs, _logprobs(predictors[name], exchange))))
    return calls


def _logprobs(predictor: Any, exchange: Exchange | None) -> dict[str, float] | None:
    values = closed_values(predictor)
    logprobs = exchange.answers[0][1].label_logprobs if exchange is not None and exchange.answers else ()
    return dict(zip(map(str, values), logprobs, strict=True)) if values and logprobs else None
