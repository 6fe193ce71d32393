"""Running programs on examples: everything in flight at once, every run a trace, every failure data."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dspy
from tqdm import tqdm

from bt_core.config import Config, Decoding
from bt_core.engine.base import Engine
from bt_core.engine.batcher import Batcher
from bt_core.errors import BtError, ProgramError
from bt_core.lm.binding import adapter_of, bind, closed_values, predictors_of
from bt_core.lm.calibration import CONTENT_FREE, mean_logprobs, with_priors
from bt_core.lm.program_engine import ProgramEngine
from bt_core.lm.recording import Recording
from bt_core.lm.tracing import calls_of, run_program, told
from bt_core.lm.values import fields_of
from bt_core.program import Program
from bt_core.records import Row, Trace, Usage, row_id
from bt_core.task import Task, checked_score, metric_arity

Watch = Callable[[Row, Recording, Any], None]
"""Sees an example's run: (row, what it asked, what the program returned)."""


class Runner:
    """Runs program states of one task on one engine.

    Args:
        task: gives module, metric and prompt format.
        config: decoding and engine settings, seed.
        engine: answers the LM calls.
        folder: where the programs' adapters lie.
    """

    def __init__(self, task: Task, config: Config, engine: Engine, folder: Path) -> None:
        self.task, self.config, self.engine, self.folder = task, config, engine, folder
        self._before = engine.usage
        self._batcher = _Batches(engine, config.engine.in_flight)
        self._refusals: list[ProgramError] = []

    @property
    def usage(self) -> Usage:
        """What the engine spent since this runner was made."""
        return self.engine.usage - self._before

    def run(self, program: Program, rows: Sequence[Row], label: str = "", **options: Any) -> list[Trace]:
        """`run_pairs` for one program on every row."""
        return self.run_pairs([(program, row) for row in rows], label, **options)

    def run_pairs(
        self,
        pairs: Sequence[tuple[Program, Row]],
        label: str = "",
        bootstrapping: bool = False,
        attempt: int = 0,
        watch: Watch | None = None,
    ) -> list[Trace]:
        """Run programs on examples, all in flight together, and score the results.

        Args:
            pairs: a state of this task's program and an example; the metric sees all the example's columns,
                the program its inputs alone.
            label: shown beside the progress bar.
            bootstrapping: whether the metric is given the trace (so that it may be stricter).
            attempt: 0 decodes as configured; later ones sample at `bootstrap.temperature`.
            watch: called with each example, everything it asked, and what the program returned.

        Raises:
            TaskError: when the metric answers nonsense.
            ProgramError: when the program does what cannot be optimised (another LM, streaming).
            EngineError: when the engine failed.
        """
        decoding = self.config.decoding
        if attempt:
            decoding = decoding.model_copy(update={"temperature": self.config.bootstrap.temperature})
        seed = self.config.seed * 1_000 + attempt
        distinct = {id(program): program for program, _ in pairs}
        modules = {key: self._bound(program, decoding, seed) for key, program in distinct.items()}
        adapter = adapter_of(self.task)
        jobs = [
            partial(self._example, modules[id(program)], row, adapter, bootstrapping, attempt, watch)
            for program, row in pairs
        ]
        return self._run_jobs(jobs, label)

    def calibrate(self, programs: Sequence[Program], rows: Sequence[Row], label: str = "") -> list[Program]:
        """Give each program the label priors that `decoding.calibration` asks for; the rest stays.

        The prior is the mean log-probability of each label over unlabelled train inputs ("batch calibration"),
        or over content-free input (Zhao et al. 2021).
        """
        if self.config.decoding.calibration == "none" or self.config.decoding.closed == "free":
            return list(programs)
        bare = [with_priors(program, {}) for program in programs]
        if self.config.decoding.calibration == "content_free":
            return [with_priors(program, self._content_free(program, label)) for program in bare]
        traces = self.run_pairs([(program, row) for program in bare for row in rows], label)
        return [
            with_priors(program, mean_logprobs(traces[start : start + len(rows)]))
            for program, start in zip(bare, range(0, len(traces), len(rows)), strict=True)
        ]

    def predict(self, program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program once on the inputs and return its prediction's fields, as JSON values.

        Raises:
            ProgramError: when the program raises.
        """
        module = self._bound(program, self.config.decoding, self.config.seed)
        adapter = adapter_of(self.task)

        def job() -> dict[str, Any]:
            with self._recorded(module, adapter) as (recording, _):
                try:
                    prediction = run_program(module, {name: inputs[name] for name in self.task.inputs})
                except BtError:
                    raise
                except Exception as failure:  # the user's program may raise anything
                    self._refuse(recording)
                    raise ProgramError(f"The program failed on this input ({told(failure)}).") from failure
                self._refuse(recording)
            return fields_of(prediction)

        return self._batcher.run([job])[0]

    def _bound(self, program: Program, decoding: Decoding, seed: int) -> Any:
        return bind(self.task, program, self.folder, decoding, seed, self._batcher.submit, self._refusals.append)

    def _run_jobs(self, jobs: Sequence[Any], label: str) -> list[Trace]:
        with tqdm(
            total=len(jobs), desc=label or "examples", unit="ex", file=sys.stdout, mininterval=2, ascii=True
        ) as bar:
            return self._batcher.run(jobs, bar.update)

    def _example(
        self, module: Any, row: Row, adapter: Any, bootstrapping: bool, attempt: int, watch: Watch | None
    ) -> Trace:
        name = row_id(row)
        example = dspy.Example(**row).with_inputs(*self.task.inputs)
        prediction, error, score = None, None, 0.0
        with self._recorded(module, adapter) as (recording, steps):
            try:
                prediction = run_program(module, {key: row[key] for key in self.task.inputs})
                error = "The program returned nothing." if prediction is None else None
            except BtError:
                raise
            except Exception as failure:  # the user's program may raise anything; that is data, not a fault
                error = told(failure)
            self._refuse(recording)
            calls = calls_of(module, recording, steps)
            if prediction is not None:
                score, error = self._score(example, prediction, list(steps) if bootstrapping else None, name)
        if watch is not None:
            watch(row, recording, prediction)
        return Trace(name, score, calls, fields_of(prediction) if prediction is not None else {}, error, attempt)

    @contextmanager
    def _recorded(self, module: Any, adapter: Any) -> Iterator[tuple[Recording, list[Any]]]:
        """A DSPy context of this example alone: what it asks, and the list that DSPy keeps its trace in.

        Predictors that the program makes while it runs use the context's LM: they are answered, not optimised.
        """
        recording, steps = Recording(self._batcher.job, ProgramEngine), list[Any]()
        lm = next(iter(predictors_of(module).values())).lm
        callbacks = [*(dspy.settings.get("callbacks") or ()), recording]
        before = dict(vars(module))
        with dspy.context(adapter=adapter, trace=steps, disable_history=True, lm=lm, callbacks=callbacks):
            yield recording, steps
        recording.kept = {
            name for name, value in vars(module).items() if name not in before or before[name] is not value
        }

    def _refuse(self, recording: Recording) -> None:
        """Raise what showed that the program cannot be optimised, even if the program caught it."""
        found = recording.refusal or next(iter(self._refusals), None)
        if found is not None:
            raise found

    def _score(self, example: Any, prediction: Any, steps: Any, name: str) -> tuple[float, str | None]:
        arguments = (example, prediction, steps)[: metric_arity(self.task.metric)]
        try:
            value = self.task.metric(*arguments)
        except BtError:
            raise
        except Exception as failure:  # a metric that trips over an odd answer scores it 0, and says so
            return 0.0, f"metric: {told(failure)}"
        return checked_score(value, name), None

    def _content_free(self, program: Program, label: str) -> dict[str, dict[str, float]]:
        module = self._bound(program, self.config.decoding, self.config.seed)
        adapter = adapter_of(self.task)

        def job(predictor: Any, text: str) -> Trace:
            with self._recorded(module, adapter) as (recording, steps):
                predictor(**dict.fromkeys(predictor.signature.input_fields, text))
                return Trace("content-free", 0.0, calls_of(module, recording, steps))

        closed = [predictor for predictor in predictors_of(module).values() if closed_values(predictor)]
        jobs = [partial(job, predictor, text) for predictor in closed for text in CONTENT_FREE]
        return mean_logprobs(self._run_jobs(jobs, label))


class _Batches(Batcher):
    """Counts calls from threads and coroutines that an example's program started as the example's."""

    @property
    def job(self) -> int:
        recording = Recording.here()
        return recording.job if recording is not None else super().job
