"""Record which predictor asked the LM what, while a program runs on one example.

A program is ordinary Python: it may call a module many times, in loops, from threads, in coroutines, or from copies of
itself (`dspy.BestOfN`), and it may swallow errors. Therefore a predictor's call, the engine's answers to it and the
entry in DSPy's trace are linked where the call happens, by DSPy's callbacks, and never by counting.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from bt_core.engine.base import Completion, Request
from bt_core.errors import ProgramError
from bt_core.lm.values import as_rendered, plain

#: The attribute of a bound predictor that holds its name; copies of the predictor have it too.
NAME = "bt_predictor"


@dataclass
class Exchange:
    """One call of a predictor, and the engine's answers to it.

    Attributes:
        predictor: its name; empty for a predictor that was made inside `forward`.
        wave: calls of the same wave ran side by side, in no particular order.
        started: when the call started, by `time.perf_counter`.
        answers: the requests to the engine, each with its completion.
        signature: names the predictor's fields.
        inputs: field -> value, as JSON, when the call started: a program may change its objects later.
        prediction: what the predictor returned.
        error: what it raised; empty: nothing.
        seconds: wall time of the call.
    """

    predictor: str
    wave: int
    started: float
    answers: list[tuple[Request, Completion]] = field(default_factory=list)
    signature: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    prediction: Any = None
    error: str = ""
    seconds: float = 0.0


class Recording(BaseCallback):
    """Records the calls of one example's run, in the thread that runs it and in those that DSPy starts from there.

    Args:
        job: the number of the example among those in flight.
        engine_type: the class of a bound program's engine, by which its LM is told from others.

    Attributes:
        job: the number of the example among those in flight.
        exchanges: finished calls of predictors, in the order in which they ended.
        outside: LMs that the program called besides its predictors.
        kept: attributes that were set on the program's module during the run, by this example or another one.
        refusal: why the program cannot be optimised, if a call has shown that it cannot.
    """

    def __init__(self, job: int, engine_type: type) -> None:
        self.job, self._engine_type = job, engine_type
        self.exchanges: list[Exchange] = []
        self.outside: set[str] = set()
        self.kept: set[str] = set()
        self.refusal: ProgramError | None = None
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._wave = 0
        self._open: dict[str, Exchange] = {}
        self._lm_calls: dict[str, Exchange] = {}
        self._requests: Counter[Hashable] = Counter()

    @classmethod
    def here(cls) -> "Recording | None":
        """The recording of the run that the calling thread or coroutine belongs to."""
        callbacks = dspy.settings.get("callbacks") or ()
        return next((callback for callback in callbacks if isinstance(callback, cls)), None)

    def exchange(self) -> Exchange | None:
        """The predictor's call to which the running LM call belongs; None where the LM was called directly."""
        return self._lm_calls.get(ACTIVE_CALL_ID.get() or "")

    def repeats(self, request: Hashable) -> int:
        """Count a request, and return how often the same one was made before."""
        with self._lock:
            self._requests[request] += 1
            return self._requests[request] - 1

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not isinstance(instance, dspy.Predict):
            return
        given = _given(instance, inputs.get("kwargs", {}))
        with self._lock:
            if not self._open and threading.get_ident() == self._thread:
                self._wave += 1
            name = getattr(instance, NAME, "")
            fields = instance.signature.signature
            self._open[call_id] = Exchange(name, self._wave, time.perf_counter(), signature=fields, inputs=given)

    def on_module_end(self, call_id: str, outputs: Any | None, exception: Exception | None = None) -> None:
        with self._lock:
            exchange = self._open.pop(call_id, None)
            if exchange is None:
                return
            exchange.prediction, exchange.seconds = outputs, time.perf_counter() - exchange.started
            exchange.error = f"{type(exception).__name__}: {exception}" if exception else ""
            self.exchanges.append(exchange)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        caller = self._open.get(ACTIVE_CALL_ID.get() or "")
        if isinstance(getattr(instance, "engine", None), self._engine_type) and caller is not None:
            self._lm_calls[call_id] = caller
        elif caller is not None and caller.predictor:
            self.refusal = ProgramError(
                f"Predictor `{caller.predictor}` was called with an LM of its own ({_model(instance)}), which cannot be"
                " optimised: leave `lm` to the run."
            )
        else:
            self.outside.add(_model(instance))

    def on_lm_end(self, call_id: str, outputs: Any | None, exception: Exception | None = None) -> None:
        self._lm_calls.pop(call_id, None)

    def in_order(self, steps: Sequence[Any], rank: Callable[[Any], Any]) -> list[tuple[Any, Exchange | None]]:
        """The steps of DSPy's trace with their exchanges, in an order that thread timing does not change.

        Calls that ran one after the other keep their order; those that ran side by side are sorted by `rank(step)`.
        """
        by_prediction = {id(exchange.prediction): exchange for exchange in self.exchanges}
        paired = [(step, by_prediction.get(id(step[2]))) for step in steps]
        waves = [exchange.wave if exchange else 0 for _, exchange in paired]
        if len(set(waves)) == len(waves):
            return paired
        order = sorted(range(len(paired)), key=lambda index: (waves[index], rank(paired[index][0])))
        return [paired[index] for index in order]


def _given(predictor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    signature = predictor.signature
    values = {name: value for name, value in inputs.items() if name in signature.input_fields}
    try:
        return as_rendered(signature, values, lambda values: dspy.settings.adapter.format(signature, [], values))
    except Exception:  # whatever a prompt format of the user's raises, the call itself will raise it again
        return {name: plain(value) for name, value in values.items()}


def _model(lm: Any) -> str:
    return str(getattr(lm, "model", type(lm).__name__))
