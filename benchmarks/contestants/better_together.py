"""The contestants of `vs_dspy`: each optimises the same program on the same rows and returns its solution."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import dspy

from benchmarks.contestants.dspy_bridge import DspyEngine, LineChatAdapter, Tuner
from benchmarks.contestants.dspy_engines import BatchingEngine, PerRequestEngine
from benchmarks.harness.record import ROOT
from bt_core.config import Config
from bt_core.data import load_splits
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.formats.run_result import RunResult
from bt_core.lm.modules import predictors_of
from bt_core.lm.states import vanilla_states
from bt_core.models import BaseModel
from bt_core.program import AdapterRef, PredictorState, Program, read_program
from bt_core.records import Row, Usage
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.handover import best_program, hand_over
from bt_core.steps.optimise.lora_finetune import lora_finetune
from bt_core.steps.optimise.prompt_search import prompt_search
from bt_core.steps.prepare import prepare
from bt_core.steps.select import select
from bt_core.task import Task

STEPS = {"p": prompt_search, "w": lora_finetune}
STRATEGY = ("p", "w", "p")


@dataclass(frozen=True)
class Problem:
    """The problem that every contestant solves. `folder` is empty, and each contestant has its own."""

    task: Task
    config: Config
    overrides: dict[str, Any]
    base: BaseModel
    folder: Path


@dataclass(frozen=True)
class Solution:
    """The solution of a contestant. The caller scores `program`, whose adapters are in `folder`, on the test rows.

    A contestant that scores itself sets `test_score` instead. `details` are figures of its own.
    """

    usage: Usage
    program: Program | None = None
    folder: Path | None = None
    test_score: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def plain_dspy(problem: Problem) -> Solution:
    """A: `dspy.BetterTogether` over one `generate` a call."""
    tuner = Tuner(problem.base, problem.config, problem.folder)
    engine = PerRequestEngine(problem.task, problem.config, tuner, problem.base)
    return _better_together(problem, engine, threads=1)  # the model takes one call at a time


def dspy_on_our_engine(problem: Problem) -> Solution:
    """B: the same over this project's engine, with DSPy asking from 64 threads."""
    tuner = Tuner(problem.base, problem.config, problem.folder)
    ours = TransformersEngine(problem.base, problem.config.engine)
    engine = BatchingEngine(problem.task, problem.config, tuner, ours)
    try:
        return _better_together(problem, engine, threads=64)
    finally:
        engine.close()


def steps(problem: Problem) -> Solution:
    """C: this project's steps, called one after the other in this process on one engine."""
    engine = TransformersEngine(problem.base, problem.config.engine)
    train, val, test = (problem.folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    program = problem.folder / "vanilla"
    config, _ = prepare(problem.overrides, train, val, test, program, engine)
    reports = []
    for number, kind in enumerate(STRATEGY, start=1):
        traces, made = (problem.folder / f"{number}.{part}" for part in ("traces", kind))
        reports.append(bootstrap(program, train, config, f"{number}.bootstrap", traces, engine))
        reports.append(STEPS[kind](program, traces, train, val, config, f"{number}.{kind}", made, engine))
        hand_over(made, reports, select(program, made, config).best)
        program = made
    best = best_program(program)
    scores = {report.stage: report.metrics["val/score"] for report in reports if "val/score" in report.metrics}
    weights = next(report for report in reports if report.kind == "w")
    ran = "w/skipped" not in weights.metrics
    return Solution(engine.usage, read_program(best), best, details={"weight_step_ran": ran, "validation": scores})


def bt_run(problem: Problem) -> Solution:
    """C2: `bt run`, that is the compiled Kubeflow pipeline with MLflow tracking, as a user starts it."""
    overrides = {key: value for key, value in problem.overrides.items() if key not in ("task", "seed", "rows")}
    (problem.folder / "settings.json").write_text(json.dumps(overrides), encoding="utf-8")
    rows = problem.config.rows
    options = {
        "--task": problem.overrides["task"],
        "--strategy": " -> ".join(STRATEGY),
        "--seed": problem.config.seed,
        "--train-rows": rows.train,
        "--val-rows": rows.val,
        "--test-rows": rows.test,
        "--config": problem.folder / "settings.json",
        "--out": problem.folder / "runs" / "run",
    }
    command = [sys.executable, "-c", "from bt_cli.main import main; main()", "run", "--json"]
    command += [str(part) for option in options.items() for part in option]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.vs_dspy: bt run failed: {done.stderr.strip().splitlines()[-1:]}")
    result = RunResult.parse(done.stdout, "the output of `bt run --json`")
    fields = {"calls": "lm_calls"} | {
        name: name for name in ("cached_calls", "prompt_tokens", "computed_prompt_tokens", "completion_tokens")
    }
    usage = Usage(**{name: sum(getattr(step, key) for step in result.steps) for name, key in fields.items()})
    scores = {step.stage: step.validation for step in result.steps}
    ran = all(step.train_tokens for step in result.steps if step.kind == "w")
    details = {"weight_step_ran": ran, "validation": scores, "step_seconds": result.seconds}
    return Solution(usage, test_score=result.test.final if result.test else None, details=details)


CONTESTANTS = {
    "dspy_plain": plain_dspy,
    "dspy_same_engine": dspy_on_our_engine,
    "ours": steps,
    "ours_bt_run": bt_run,
}


def _better_together(problem: Problem, engine: DspyEngine, threads: int) -> Solution:
    task, config, tuner = problem.task, problem.config, engine.tuner
    splits = load_splits(task, config.data, config.rows, config.seed)
    train, val = (_examples(splits[name], task) for name in ("train", "val"))
    name = f"bt/{Path(problem.base.id).name}"
    lm = dspy.LM(name, engine=engine, provider=tuner, cache=False, num_retries=0, temperature=0.0)
    student = task.program()
    student.set_lm(lm)
    optimizer = dspy.BetterTogether(metric=_metric(task), **_optimizers(task, config, threads))
    # Its search drops the program's own LM and uses the global one, without which nothing runs.
    with dspy.context(lm=lm, adapter=LineChatAdapter(), num_threads=threads):
        final = optimizer.compile(
            student,
            trainset=train,
            valset=val,
            num_threads=threads,
            seed=config.seed,
            strategy=" -> ".join(STRATEGY),
            # Its labels-only candidate would be a second one without demos, since no demo is taken from labels.
            optimizer_compile_args={"p": {"restrict": [-3, -1, *range(config.p.candidates - 1)]}},
        )
    return Solution(engine.usage, *_final_program(problem, final, tuner), details=_details(engine, final))


def _optimizers(task: Task, config: Config, threads: int) -> dict[str, Any]:
    """DSPy's default optimisers for p and w, with our counts of candidates and demonstrations."""
    search = dspy.BootstrapFewShotWithRandomSearch(
        metric=_metric(task),
        max_bootstrapped_demos=config.p.max_demos,
        max_labeled_demos=0,  # a labelled row has no value for the middle step, and our search takes none either
        num_candidate_programs=config.p.candidates - 1,
        num_threads=threads,
    )
    tune = dspy.BootstrapFinetune(metric=_metric(task), exclude_demos=True, num_threads=threads)
    return {"p": search, "w": tune}


def _metric(task: Task) -> Any:
    return lambda example, prediction, trace=None: task.metric(example, prediction)


def _examples(rows: Sequence[Row], task: Task) -> list[Any]:
    return [dspy.Example(**row).with_inputs(*task.inputs) for row in rows]


def _details(engine: DspyEngine, final: Any) -> dict[str, Any]:
    """Whether the weight step ran, the score of each stage, and which weights were called after it."""
    return {
        "weight_step_ran": bool(engine.tuner.adapters),
        "error_flag": bool(final.flag_compilation_error_occurred),
        "validation": {one["strategy"] or "vanilla": one["score"] / 100 for one in final.candidate_programs},
        "calls_after_w": {"base": engine.calls[True, False], "tuned": engine.calls[True, True]},
    }


def _final_program(problem: Problem, final: Any, tuner: Tuner) -> tuple[Program, Path]:
    """DSPy's final program as a program of ours, to be scored by the same code."""
    states: Mapping[str, PredictorState] = vanilla_states(problem.task)
    predictors = {}
    for name, predictor in predictors_of(final).items():
        adapter = tuner.adapters.get(predictor.lm.model)
        demos = tuple({key: value for key, value in demo.items() if key != "augmented"} for demo in predictor.demos)
        reference = AdapterRef(adapter.path.name, adapter.sha256) if adapter else None
        predictors[name] = replace(states[name], demos=demos, adapter=reference)
    base = problem.base
    return Program(problem.overrides["task"], base.id, base.revision, predictors), tuner.folder


def usage_figures(usage: Usage) -> dict[str, int]:
    """Calls and tokens, without the seconds that each engine counts in its own way."""
    return {name: value for name, value in asdict(usage).items() if name != "seconds"}
