"""Running programs on examples: everything in flight at once, every run a trace, every failure data."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dspy
from pydantic_core import to_jsonable_python
from tqdm import tqdm

from bt_core.config import Config
from bt_core.engine.base import Completion, Engine, Request
from bt_core.engine.batcher import Batcher
from bt_core.errors import BtError
from bt_core.lm.binding import adapter_of, bind, closed_values, predictors_of
from bt_core.program import PredictorState, Program
from bt_core.records import Call, Row, Trace, Usage, row_id
from bt_core.task import Task, checked_score, metric_arity

#: Content-free inputs of Zhao et al. 2021 (arXiv 2102.09690, section 4).
CONTENT_FREE = ("N/A", "", "[MASK]")


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
        self._batcher = Batcher(engine, config.engine.in_flight)
        self._journal: dict[int, list[tuple[str, Completion]]] = {}

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
    ) -> list[Trace]:
        """Run programs on examples, all in flight together, and score the results.

        Args:
            pairs: a state of this task's program and an example; the metric sees all the example's columns,
                the program its inputs alone.
            label: shown beside the progress bar.
            bootstrapping: whether the metric is given the trace (so that it may be stricter).
            attempt: 0 decodes as configured; later ones sample at `bootstrap.temperature`.

        Raises:
            TaskError: when the metric answers nonsense.
            EngineError: when the engine failed.
        """
        decoding = self.config.decoding
        if attempt:
            decoding = decoding.model_copy(update={"temperature": self.config.bootstrap.temperature})
        seed = self.config.seed * 1_000 + attempt
        distinct = {id(program): program for program, _ in pairs}
        modules = {
            key: bind(self.task, program, self.folder, decoding, seed, self._submit)
            for key, program in distinct.items()
        }
        adapter = adapter_of(self.task)
        jobs = [
            partial(self._example, modules[id(program)], row, adapter, bootstrapping, attempt) for program, row in pairs
        ]
        return self._run_jobs(jobs, label)

    def calibrate(self, programs: Sequence[Program], rows: Sequence[Row], label: str = "") -> list[Program]:
        """Give each program the label priors that `decoding.calibration` asks for; the rest stays.

        The prior is the mean log-probability of each label over unlabelled train inputs ("batch calibration"),
        or over content-free input (Zhao et al. 2021).
        """
        if self.config.decoding.calibration == "none" or self.config.decoding.closed == "free":
            return list(programs)
        bare = [_with_priors(program, {}) for program in programs]
        if self.config.decoding.calibration == "content_free":
            return [_with_priors(program, self._content_free(program, label)) for program in bare]
        traces = self.run_pairs([(program, row) for program in bare for row in rows], label)
        return [
            _with_priors(program, _mean_logprobs(traces[start : start + len(rows)]))
            for program, start in zip(bare, range(0, len(traces), len(rows)), strict=True)
        ]

    def predict(self, program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program once on the inputs and return its prediction's fields, as JSON values."""
        module = bind(self.task, program, self.folder, self.config.decoding, self.config.seed, self._submit)
        adapter = adapter_of(self.task)

        def job() -> dict[str, Any]:
            with _dspy_context(adapter):
                prediction = module(**{name: inputs[name] for name in self.task.inputs})
            return _plain(prediction)

        return self._batcher.run([job])[0]

    def _run_jobs(self, jobs: Sequence[Any], label: str) -> list[Trace]:
        self._journal.clear()
        with tqdm(
            total=len(jobs), desc=label or "examples", unit="ex", file=sys.stdout, mininterval=2, ascii=True
        ) as bar:
            return self._batcher.run(jobs, bar.update)

    def _submit(self, predictor: str, request: Request) -> Completion:
        completion = self._batcher.submit(request)
        self._journal.setdefault(self._batcher.job, []).append((predictor, completion))
        return completion

    def _example(self, module: Any, row: Row, adapter: Any, bootstrapping: bool, attempt: int) -> Trace:
        name = row_id(row)
        example = dspy.Example(**row).with_inputs(*self.task.inputs)
        prediction, error, score = None, None, 0.0
        with _dspy_context(adapter) as steps:
            try:
                prediction = module(**{key: row[key] for key in self.task.inputs})
            except BtError:
                raise
            except Exception as failure:  # the user's program may raise anything; that is data, not a fault
                error = f"{type(failure).__name__}: {str(failure).strip()[:500]}"
            calls = self._calls(module, steps)
            if prediction is not None:
                score, error = self._score(example, prediction, list(steps) if bootstrapping else None, name)
        return Trace(name, score, calls, _plain(prediction) if prediction is not None else {}, error, attempt)

    def _score(self, example: Any, prediction: Any, steps: Any, name: str) -> tuple[float, str | None]:
        arguments = (example, prediction, steps)[: metric_arity(self.task.metric)]
        try:
            value = self.task.metric(*arguments)
        except Exception as failure:  # a metric that trips over an odd answer scores it 0, and says so
            return 0.0, f"metric: {type(failure).__name__}: {str(failure).strip()[:500]}"
        return checked_score(value, name), None

    def _calls(self, module: Any, steps: Sequence[Any]) -> tuple[Call, ...]:
        """The trace's calls by predictor name, closed answers with their labels' log-probabilities."""
        predictors = predictors_of(module)
        names = {id(predictor): name for name, predictor in predictors.items()}
        completions: dict[str, list[Completion]] = defaultdict(list)
        for caller, completion in self._journal.get(self._batcher.job, ()):
            completions[caller].append(completion)
        calls = []
        for predictor, inputs, prediction in steps:
            name = names.get(id(predictor))
            if name is None:
                continue  # a predictor made inside forward(): it has no state to optimise
            values = closed_values(predictors[name])
            logprobs = None
            if values and completions[name] and completions[name][0].label_logprobs:
                logprobs = dict(zip(map(str, values), completions[name].pop(0).label_logprobs, strict=True))
            calls.append(Call(name, to_jsonable_python(dict(inputs), fallback=str), _plain(prediction), logprobs))
        return tuple(calls)

    def _content_free(self, program: Program, label: str) -> dict[str, dict[str, float]]:
        module = bind(self.task, program, self.folder, self.config.decoding, self.config.seed, self._submit)
        adapter = adapter_of(self.task)

        def job(predictor: Any, text: str) -> Trace:
            with _dspy_context(adapter) as steps:
                predictor(**dict.fromkeys(predictor.signature.input_fields, text))
                return Trace("content-free", 0.0, self._calls(module, steps))

        closed = [predictor for predictor in predictors_of(module).values() if closed_values(predictor)]
        jobs = [lambda p=p, t=text: job(p, t) for p in closed for text in CONTENT_FREE]
        return _mean_logprobs(self._run_jobs(jobs, label))


@contextmanager
def _dspy_context(adapter: Any) -> Iterator[list[Any]]:
    """A DSPy context of this thread alone; yields the list that DSPy records its trace in."""
    steps: list[Any] = []
    with dspy.context(adapter=adapter, trace=steps, disable_history=True, lm=None):
        yield steps


def _plain(prediction: Any) -> dict[str, Any]:
    value: dict[str, Any] = to_jsonable_python(dict(prediction.items()), fallback=str)
    return value


def _mean_logprobs(traces: Iterable[Trace]) -> dict[str, dict[str, float]]:
    seen: dict[str, list[dict[str, float]]] = defaultdict(list)
    for trace in traces:
        for call in trace.calls:
            if call.label_logprobs:
                seen[call.predictor].append(call.label_logprobs)
    return {
        name: {label: round(sum(one[label] for one in many) / len(many), 6) for label in many[0]}
        for name, many in seen.items()
    }


def _with_priors(program: Program, priors: Mapping[str, dict[str, float]]) -> Program:
    states: dict[str, PredictorState] = {
        name: replace(state, label_prior=priors.get(name)) for name, state in program.predictors.items()
    }
    return replace(program, predictors=states)
