"""An LM as judge, behind an endpoint that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, hosted ones).

A judge whose answers vary breaks the law of a step, by which the same inputs give the same bytes. Requests have
temperature 0; no endpoint promises more.
"""

import os
import re
from typing import Any

from bt_core.errors import ConfigError, WorldError
from bt_core.metrics.making import Metric, named, value_of
from bt_core.trust.credentials import endpoint_fault, key_variable_fault
from bt_core.web import ask_json

_QUESTION = "Is the answer right? It need not use the same words as the right answer."
_MARK = re.compile(r"\b(?:10|[0-9])\b")


def judge(
    field: str, endpoint: str, model: str, label: str = "", question: str = _QUESTION, key_variable: str = ""
) -> Metric:
    """A metric that asks an LM for a mark from 0 to 10 and returns a tenth of it; a reply without a mark scores 0.

    Args:
        field: the field of the prediction to judge.
        endpoint: base address, such as http://judge:8000/v1.
        model: the name of the model at the endpoint.
        label: the column of the example with the right answer; empty: it has the name of the field.
        question: what the mark should say.
        key_variable: the environment variable that holds the endpoint's key; empty: the endpoint needs none.

    Raises:
        ConfigError: when the endpoint's address holds a key, or the variable is one of another service or is not set.
        WorldError: when the endpoint cannot be used. The run stops, since that says nothing about the answer.
    """
    for argument, fault in (("endpoint", endpoint_fault(endpoint)), ("key_variable", key_variable_fault(key_variable))):
        if fault:
            raise ConfigError(f"The judge's `{argument}` {fault}.")
    address = f"{endpoint.rstrip('/')}/chat/completions"

    def metric(example: Any, prediction: Any) -> float:
        texts = {"Right answer": value_of(example, label or field), "Answer": value_of(prediction, field)}
        parts = [
            question,
            *(f"{name}: {text}" for name, text in texts.items()),
            "Reply with a mark from 0 to 10 alone.",
        ]
        messages = [{"role": "user", "content": "\n".join(parts)}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 8}
        return _mark(ask_json(address, "The judge", body, _headers(key_variable)), address)

    return named("judge", metric)


def _headers(key_variable: str) -> dict[str, str]:
    if not key_variable:
        return {}
    if not os.environ.get(key_variable):
        raise ConfigError(f"The judge's key is read from the variable {key_variable}, which is not set: set it.")
    return {"Authorization": f"Bearer {os.environ[key_variable]}"}


def _mark(answer: Any, address: str) -> float:
    try:
        text = str(answer["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        raise WorldError(
            f"The judge at {address} did not answer with a chat completion: check `endpoint` and `model`."
        ) from None
    match = _MARK.search(text)
    return int(match[0]) / 10.0 if match else 0.0
