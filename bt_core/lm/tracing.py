"""Calling a program, and its calls as plain records."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bt_core.lm.binding import closed_values, predictors_of
from bt_core.lm.recording import NAME, Exchange, Recording
from bt_core.lm.values import plain
from bt_core.records import Call, canonical_json


def run_program(module: Any, inputs: Mapping[str, Any]) -> Any:
    """What the program returns; one that has only `aforward` is awaited."""
    if hasattr(type(module), "aforward") and not (hasattr(type(module), "forward") or "forward" in vars(module)):
        return asyncio.run(module.acall(**inputs))
    return module(**inputs)


def told(failure: Exception) -> str:
    """An exception of the user's code, in a line."""
    return f"{type(failure).__name__}: {str(failure).strip()[:500]}"


def calls_of(module: Any, recording: Recording, steps: Sequence[Any]) -> tuple[Call, ...]:
    """DSPy's trace as calls by predictor name, closed answers with their labels' log-probabilities.

    Left out is what could not be learnt from: calls of predictors made inside `forward`, which have no state to
    optimise, and calls under another signature than the program's.
    """
    predictors = predictors_of(module)
    position = {name: index for index, name in enumerate(predictors)}

    def rank(step: Any) -> tuple[int, str]:
        return position.get(getattr(step[0], NAME, ""), -1), canonical_json(plain(dict(step[1])))

    calls = []
    for (predictor, inputs, prediction), exchange in recording.in_order(steps, rank):
        name = getattr(predictor, NAME, "")
        if name not in predictors:
            continue
        signature = predictors[name].signature
        if not signature.output_fields.keys() <= set(prediction.keys()):
            continue
        given = {key: plain(value) for key, value in inputs.items() if key in signature.input_fields}
        found = {key: plain(prediction[key]) for key in signature.output_fields}
        calls.append(Call(name, given, found, _logprobs(predictors[name], exchange)))
    return tuple(calls)


def _logprobs(predictor: Any, exchange: Exchange | None) -> dict[str, float] | None:
    values = closed_values(predictor)
    found = exchange.answers[0][1].label_logprobs if exchange is not None and exchange.answers else ()
    return dict(zip(map(str, values), found, strict=True)) if values and found else None
