"""A program by itself: answers without a task, a configuration and records. `bt export` copies this beside `serve.py`.

The functions take nothing but DSPy's objects and an engine, so that a copy of them needs little else of this project.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import dspy
from dspy.lm15 import ContextLengthError
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse

from bt_core.engine.base import Engine, EngineAdapter, Request, Sampling
from bt_core.errors import ProgramError
from bt_core.lm.dspy_call import InCoroutines, messages_of, response_to, sampling_of
from bt_core.lm.tracing import run_program
from bt_core.lm.values import fields_of, typed


@dataclass(frozen=True)
class Asking:
    """A DSPy engine that asks one of ours, with the request that a predictor's calls have in common."""

    engine: Engine
    template: Request
    lock: Any = field(default_factory=threading.Lock, compare=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Asking":
        return self  # DSPy copies LMs; there is one engine

    def complete(self, request: DspyRequest) -> DspyResponse:
        """Answer a call."""
        own = replace(self.template, messages=messages_of(request), sampling=sampling_of(request, self.template))
        with self.lock:
            (completion,) = self.engine.generate([own])
        if completion.error is not None:
            raise ContextLengthError(completion.error)
        return response_to(request, completion)

    def stream(self, request: DspyRequest) -> NoReturn:
        raise ProgramError("The program streams, which an exported program cannot: call its modules plainly.")

    def close(self) -> None:
        """Do nothing: the engine holds nothing."""


class Standalone:
    """A program whose prompts have been loaded, on an engine.

    Args:
        module: the program.
        adapter: its prompt format.
        engine: answers the calls.
        settings: what `bt export` wrote of each predictor (its adapter, labels and their prior) and of the decoding.
        folder: where the adapters lie.
    """

    def __init__(self, module: Any, adapter: Any, engine: Engine, settings: Mapping[str, Any], folder: Path) -> None:
        self._module, self._adapter, self._lock = module, adapter, threading.Lock()
        self._engine, self._settings = engine, settings
        self._free = Request(
            (), sampling=Sampling(**settings["sampling"] | {"stop": tuple(settings["sampling"]["stop"])})
        )
        for name, predictor in module.named_predictors():
            own = settings["predictors"][name]
            template = replace(
                self._free,
                adapter=EngineAdapter(folder / own["adapter"], own["adapter"]) if own["adapter"] else None,
                labels=tuple(own["labels"]),
                label_prior=tuple(own["label_prior"]),
                walk=own["walk"],
                whole=own["whole"],
            )
            predictor.demos = [dspy.Example(**typed(predictor.signature, demo)) for demo in predictor.demos]
            predictor.lm = self._lm(template)

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The prediction's fields, as JSON values.

        Raises:
            KeyError: when an input is missing.
        """
        given = {name: inputs[name] for name in self._settings["inputs"]}
        # Predictors that the program makes while it runs ask the base model.
        with dspy.context(adapter=self._adapter, lm=self._lm(self._free), trace=[], disable_history=True):
            return fields_of(run_program(self._module, given))

    def _lm(self, template: Request) -> Any:
        asking = Asking(self._engine, template, self._lock)
        return dspy.LM(
            model=f"exported/{self._settings['base']['id']}",
            engine=asking,
            async_engine=InCoroutines(asking),
            cache=False,
            num_retries=0,
            temperature=template.sampling.temperature,
            max_tokens=template.sampling.max_tokens,
        )
