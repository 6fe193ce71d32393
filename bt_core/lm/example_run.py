"""One run of a bound module on one example: all that it asks is recorded, and every failure becomes data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import dspy

from bt_core.engine.batcher import Batcher
from bt_core.errors import BtError, ProgramError, TaskError
from bt_core.lm.modules import predictors_of
from bt_core.lm.program_engine import ProgramEngine
from bt_core.lm.recording import Recording
from bt_core.lm.tracing import as_line, run_program, traced_calls
from bt_core.lm.values import fields_of
from bt_core.metrics.contract import checked_score, feedback_of, judges_predictors, metric_arity
from bt_core.records import Call, Row, Trace, row_id
from bt_core.task import Task

Watch = Callable[[Row, Recording, Any], None]
"""Is called with an example, the recording of its run, and what the program returned."""


@dataclass(frozen=True)
class Recorder:
    """Records what bound modules ask while they run.

    Attributes:
        batcher: numbers the examples that are in flight.
        refusals: why a program cannot be optimised, as the engines of the bound modules tell it.
    """

    batcher: Batcher
    refusals: list[ProgramError] = field(default_factory=list)

    @contextmanager
    def recorded(self, module: Any, adapter: Any) -> Iterator[tuple[Recording, list[Any]]]:
        """Open a DSPy context for one run; gives the recording, and the list in which DSPy keeps its trace.

        Predictors that the program makes while it runs use the context's LM: they are answered, but not optimised.
        """
        recording, steps = Recording(self.batcher.job, ProgramEngine), list[Any]()
        lm = next(iter(predictors_of(module).values())).lm
        callbacks = [*(dspy.settings.get("callbacks") or ()), recording]
        before = dict(vars(module))
        with dspy.context(adapter=adapter, trace=steps, disable_history=True, lm=lm, callbacks=callbacks):
            yield recording, steps
        recording.kept = {
            name for name, value in vars(module).items() if name not in before or before[name] is not value
        }

    def raise_refusal(self, recording: Recording) -> None:
        """Check whether a call has shown that the program cannot be optimised.

        Raises:
            ProgramError: if so, even where the program caught the error itself.
        """
        refusal = recording.refusal or next(iter(self.refusals), None)
        if refusal is not None:
            raise refusal


@dataclass(frozen=True)
class ExampleRun:
    """Runs modules on examples and scores the results; called with a module and an example, it returns the trace.

    Attributes:
        task: gives the metric and says which columns are inputs.
        adapter: the prompt format.
        recorder: records the runs.
        bootstrapping: whether the metric gets the trace, so that it may be stricter.
        attempt: the number of the attempt, for the trace.
        reflecting: whether a metric that judges single predictors is asked about each of them, too.
        watch: called after each run.
    """

    task: Task
    adapter: Any
    recorder: Recorder
    bootstrapping: bool = False
    attempt: int = 0
    reflecting: bool = False
    watch: Watch | None = None

    def __call__(self, module: Any, row: Row) -> Trace:
        name = row_id(row)
        prediction, error, score, feedback = None, None, 0.0, dict[str, str]()
        with self.recorder.recorded(module, self.adapter) as (recording, steps):
            try:
                prediction = run_program(module, {key: row[key] for key in self.task.inputs})
                error = "The program returned nothing." if prediction is None else None
            except BtError:
                raise
            except Exception as failure:  # the user's program may raise anything; that is data, not a fault
                error = as_line(failure)
            self.recorder.raise_refusal(recording)
            calls = traced_calls(module, recording, steps)
        if prediction is not None:  # outside of the context above, whose LM is the one that is optimised
            score, feedback, error = self._score(row, prediction, list(steps), calls)
        if self.watch is not None:
            self.watch(row, recording, prediction)
        fields = fields_of(prediction) if prediction is not None else {}
        return Trace(name, score, tuple(call for _, call in calls), fields, error, self.attempt, feedback=feedback)

    def _score(
        self, row: Row, prediction: Any, steps: list[Any], calls: Sequence[tuple[Any, Call]]
    ) -> tuple[float, dict[str, str], str | None]:
        """The metric's score, its feedback, and the error where the metric raised."""
        example = dspy.Example(row).with_inputs(*self.task.inputs)
        arguments = (example, prediction, steps if self.bootstrapping else None)[: metric_arity(self.task.metric)]
        asked: list[str] = []
        error: str | None = None
        feedback: dict[str, str] = {}
        judge = nullcontext() if dspy.settings.lm is not None else dspy.context(lm=_no_judge(asked))
        try:
            with judge:
                value = self.task.metric(*arguments)
                feedback = {"": feedback_of(value)} | self._on_predictors(example, prediction, steps, calls)
        except BtError:
            raise
        except Exception as failure:  # a metric that fails on an odd answer scores it 0, and the trace says so
            value, error = 0.0, f"metric: {as_line(failure)}"
        if asked:  # though the metric may have caught the error
            raise TaskError(
                f"The metric of task `{self.task.name}` asks an LM and has none, since the one that is optimised must"
                " not judge itself: call `dspy.configure(lm=...)` in the task's module."
            )
        said = {name: text for name, text in feedback.items() if text}
        return checked_score(value, row_id(row)), said, error

    def _on_predictors(
        self, example: Any, prediction: Any, steps: list[Any], calls: Sequence[tuple[Any, Call]]
    ) -> dict[str, str]:
        """Predictor -> what the metric says about its last call; empty where it is not asked."""
        if not (self.reflecting and judges_predictors(self.task.metric)):
            return {}
        metric = self.task.metric
        try:
            return {
                call.predictor: feedback_of(metric(example, prediction, steps, call.predictor, [step]))
                for step, call in calls
            }
        except BtError:
            raise
        except Exception:  # the score stands, and what was said about the whole
            return {}


class _NoJudge:
    """The engine of a metric's modules where the user has configured no LM: it notes that it was asked, and refuses."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def __deepcopy__(self, memo: dict[int, Any]) -> "_NoJudge":
        return self

    def complete(self, request: Any) -> NoReturn:
        self._asked.append(str(request.model))
        raise ProgramError("A metric has no LM to ask.")

    stream = complete

    def close(self) -> None:
        """Do nothing: the engine holds nothing."""


def _no_judge(asked: list[str]) -> Any:
    return dspy.LM(model="bt/none", engine=_NoJudge(asked), cache=False, num_retries=0)
