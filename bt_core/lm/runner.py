"""Running programs on many examples: all are in flight at once, and every run becomes a trace."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.batcher import Batcher
from bt_core.errors import BtError, ProgramError
from bt_core.lm.binding import Binding
from bt_core.lm.calibration import CONTENT_FREE, mean_logprobs, with_priors
from bt_core.lm.example_run import ExampleRun, Recorder, Watch
from bt_core.lm.modules import adapter_of, closed_values, predictors_of
from bt_core.lm.recording import Recording
from bt_core.lm.tracing import as_line, calls_of, run_program
from bt_core.lm.values import fields_of
from bt_core.program import Program
from bt_core.progress import Progress, labelled
from bt_core.records import Row, Trace
from bt_core.task import Task


class Runner:
    """Runs program states of one task on one engine.

    Args:
        task: gives module, metric and prompt format.
        config: gives the decoding and engine settings and the seed.
        engine: answers the LM calls.
        folder: where the programs' adapters lie.
    """

    def __init__(self, task: Task, config: Config, engine: Engine, folder: Path) -> None:
        self.task, self.config = task, config
        self._batcher = _ExampleBatcher(engine, config.engine.in_flight)
        self._recorder = Recorder(self._batcher)
        self._binding = Binding(task, folder, self._batcher.submit, self._recorder.refusals.append)

    def run(self, program: Program, rows: Sequence[Row], label: str = "", **options: Any) -> list[Trace]:
        """`run_pairs` for one program on every row."""
        return self.run_pairs([(program, row) for row in rows], label, **options)

    def run_pairs(
        self,
        pairs: Sequence[tuple[Program, Row]],
        label: str = "",
        bootstrapping: bool = False,
        attempt: int = 0,
        reflecting: bool = False,
        watch: Watch | None = None,
    ) -> list[Trace]:
        """Run programs on examples, all in flight together, and score the results.

        Args:
            pairs: a state of this task's program and an example each; the metric sees all columns of the example,
                the program only its inputs.
            label: the name of this work in lines about its progress.
            bootstrapping: whether the metric gets the trace, so that it may be stricter.
            attempt: 0 decodes as configured; later attempts sample at `bootstrap.temperature`.
            reflecting: whether a metric that judges single predictors is asked about each of them, too.
            watch: called with each example, the recording of its run, and what the program returned.

        Raises:
            TaskError: when the metric returns no number in [0, 1].
            ProgramError: when the program does what cannot be optimised (another LM, streaming).
            EngineError: when the engine failed.
        """
        decoding = self.config.decoding
        if attempt:
            decoding = decoding.model_copy(update={"temperature": self.config.bootstrap.temperature})
        seed = self.config.seed * 1_000 + attempt
        distinct = {id(program): program for program, _ in pairs}
        modules = {key: self._binding.module(program, decoding, seed) for key, program in distinct.items()}
        run = ExampleRun(self.task, adapter_of(self.task), self._recorder, bootstrapping, attempt, reflecting, watch)
        return self._run_jobs([partial(run, modules[id(program)], row) for program, row in pairs], label)

    def calibrate(self, programs: Sequence[Program], rows: Sequence[Row], label: str = "") -> list[Program]:
        """Give each program the label priors that `decoding.calibration` asks for; the rest stays.

        The prior is the mean log-probability of each label over unlabelled train inputs ("batch calibration"),
        or over content-free input (Zhao et al. 2021).
        """
        if self.config.decoding.calibration == "none" or self.config.decoding.closed == "free":
            return list(programs)
        uncalibrated = [with_priors(program, {}) for program in programs]
        if self.config.decoding.calibration == "content_free":
            return [with_priors(program, self._content_free_logprobs(program, label)) for program in uncalibrated]
        traces = self.run_pairs([(program, row) for program in uncalibrated for row in rows], label)
        return [
            with_priors(program, mean_logprobs(traces[start : start + len(rows)]))
            for program, start in zip(uncalibrated, range(0, len(traces), len(rows)), strict=True)
        ]

    def predict(self, program: Program, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Run the program once on the inputs of each row and return its predictions' fields, as JSON values.

        Raises:
            ProgramError: when the program raises.
        """
        module = self._binding.module(program, self.config.decoding, self.config.seed)
        adapter = adapter_of(self.task)

        def job(inputs: Mapping[str, Any]) -> dict[str, Any]:
            with self._recorder.recorded(module, adapter) as (recording, _):
                try:
                    prediction = run_program(module, {name: inputs[name] for name in self.task.inputs})
                except BtError:
                    raise
                except Exception as failure:  # the user's program may raise anything
                    self._recorder.raise_refusal(recording)
                    place = "this input" if len(rows) == 1 else f"the input {_shown(inputs)}"
                    raise ProgramError(f"The program failed on {place} ({as_line(failure)}).") from failure
                self._recorder.raise_refusal(recording)
            return fields_of(prediction)

        return self._batcher.run([partial(job, row) for row in rows])

    def _content_free_logprobs(self, program: Program, label: str) -> dict[str, dict[str, float]]:
        module = self._binding.module(program, self.config.decoding, self.config.seed)
        adapter = adapter_of(self.task)

        def job(predictor: Any, text: str) -> Trace:
            with self._recorder.recorded(module, adapter) as (recording, steps):
                predictor(**dict.fromkeys(predictor.signature.input_fields, text))
                return Trace("content-free", 0.0, calls_of(module, recording, steps))

        closed = [predictor for predictor in predictors_of(module).values() if closed_values(predictor)]
        jobs = [partial(job, predictor, text) for predictor in closed for text in CONTENT_FREE]
        return mean_logprobs(self._run_jobs(jobs, label))

    def _run_jobs(self, jobs: Sequence[Callable[[], Trace]], label: str) -> list[Trace]:
        label = label or "examples"
        with labelled(label):
            return self._batcher.run(jobs, Progress(label, "row", len(jobs)).add)


def _shown(inputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={str(value)[:40]!r}" for name, value in inputs.items())


class _ExampleBatcher(Batcher):
    """Counts the calls of threads and coroutines that an example's program started as that example's calls."""

    @property
    def job(self) -> int:
        recording = Recording.here()
        return recording.job if recording is not None else super().job
