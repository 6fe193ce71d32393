"""Optimise the same program by DSPy's BetterTogether and by this project, p -> w -> p, and compare.

    python -m benchmarks.vs_dspy --quick
    python -m benchmarks.vs_dspy --rows 50 50 150 --repeats 3

Contestants, in turn, on one seed after the other (the seeds are the paired runs):

- dspy_plain: `dspy.BetterTogether`, its default optimisers, over an engine that answers one prompt at a time;
- dspy_same_engine: the same over this project's engine behind a micro-batcher, DSPy asking from 64 threads;
- ours: this project's steps in one process;
- ours_bt_run: `bt run`, that is the compiled pipeline with tracking, a process for each task.

All have the same rows, prompts (`LineAdapter`), model, number of candidates and demonstrations, LoRA settings and
trainer. Test rows are scored by this project's engine, outside the time, except by `bt run`, whose time holds them.
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contestants.better_together import CONTESTANTS, Problem, Solution, usage_figures
from benchmarks.harness.models import add_model_options, open_model
from benchmarks.harness.record import Table, Timed, finish, in_turn, parser, quiet, ratios, shown
from bt_core.config import Config, resolve_config
from bt_core.data import load_splits
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CACHE_VARIABLE, cache_folder
from bt_core.lm.runner import Runner
from bt_core.models import BaseModel
from bt_core.task import load_task

TASK = "continents"
NAMES = {
    "dspy_plain": "DSPy, one prompt at a time",
    "dspy_same_engine": "DSPy on our engine, batched",
    "ours": "ours, steps in one process",
    "ours_bt_run": "ours, `bt run` with tracking",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Let every contestant optimise once for each seed, and print the tables."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        base = open_model(options, Path(scratch))
        taken, scores = _compete(options, base, Path(scratch))
    runs = {name: [_run(*pair) for pair in zip(taken[name], scores[name], strict=True)] for name in taken}
    result: dict[str, Any] = {"settings": _shown_settings(options), "ratios": _ratios(taken), "contestants": runs}
    finish("vs_dspy", options, result, [_table(runs), _ratio_table(result["ratios"])], _notes(runs))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("vs_dspy", "BetterTogether by DSPy and by this project; a repeat is a seed.")
    add_model_options(command)
    command.add_argument("--rows", type=int, nargs=3, metavar=("TRAIN", "VAL", "TEST"), default=(50, 50, 150))
    command.add_argument("--candidates", type=int, default=6, help="demonstration sets in a search")
    command.add_argument("--epochs", type=int, default=3, help="of fine-tuning")
    command.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    options = command.parse_args(arguments)
    if options.quick:
        options.rows, options.candidates, options.epochs, options.repeats = (16, 16, 32), 2, 1, 1
    if cache_folder() is not None:
        command.error(f"{CACHE_VARIABLE} is set, and answers from an earlier run would be counted as fast: unset it")
    if "ours" not in options.contestants:
        command.error("--contestants must hold `ours`: the others are compared with it")
    return options


def _overrides(options: argparse.Namespace, base: BaseModel, seed: int) -> dict[str, Any]:
    return {
        "task": TASK,
        "model": base.id,
        "seed": seed,
        "rows": dict(zip(("train", "val", "test"), options.rows, strict=True)),
        "p": {"candidates": options.candidates},
        "w": {"epochs": options.epochs},
        "engine": {"device": options.device, "dtype": options.dtype},
    }


def _shown_settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("rows", "candidates", "epochs", "device", "dtype", "random_model")
    return {"task": TASK, "strategy": "p -> w -> p"} | {name: getattr(options, name) for name in names}


def _compete(
    options: argparse.Namespace, base: BaseModel, scratch: Path
) -> tuple[dict[str, list[Timed[Solution]]], dict[str, list[float]]]:
    """Times and outcomes, and test scores, by contestant and seed."""
    task = load_task(TASK)
    configs = []
    for seed in range(options.repeats):
        configs.append(resolve_config(task.config, _overrides(options, base, seed)))

    def optimise(name: str, seed: int) -> Solution:
        folder = scratch / f"{name}-{seed}"
        folder.mkdir()
        print(f"seed {seed}: {NAMES[name]} ...", file=sys.stderr, flush=True)
        problem = Problem(task, configs[seed], _overrides(options, base, seed), base, folder)
        with quiet() as log:
            solution = CONTESTANTS[name](problem)
        failed = [line for line in log.getvalue().splitlines() if "failed with error" in line]
        if failed:
            solution.details["failed"] = failed
        gc.collect()
        return solution

    warm = TransformersEngine(base, configs[0].engine)  # files in memory, libraries imported
    taken = in_turn({name: partial(optimise, name) for name in options.contestants}, options.repeats)
    scores = {
        name: [_score(warm, configs[seed], run.result) for seed, run in enumerate(runs)] for name, runs in taken.items()
    }
    return taken, scores


def _score(engine: TransformersEngine, config: Config, solution: Solution) -> float:
    """Share of the test rows that the final program answers right."""
    if solution.program is None or solution.folder is None:
        return float(solution.test_score or 0.0)
    task = load_task(TASK)
    rows = load_splits(task, config.data, config.rows, config.seed)["test"]
    with quiet():
        traces = Runner(task, config, engine, solution.folder).run(solution.program, rows)
    return sum(trace.score for trace in traces) / len(traces)


def _run(run: Timed[Solution], score: float) -> dict[str, Any]:
    figures = usage_figures(run.result.usage)
    return {"seconds": round(run.seconds, 2), "test_score": round(score, 4), **figures, **run.result.details}


def _ratios(taken: Mapping[str, Sequence[Timed[Solution]]]) -> dict[str, dict[str, float]]:
    seconds = {name: [run.seconds for run in runs] for name, runs in taken.items()}
    tokens = {name: [run.result.usage.computed_prompt_tokens for run in runs] for name, runs in taken.items()}
    asked = {name: [run.result.usage.prompt_tokens for run in runs] for name, runs in taken.items()}
    wanted: dict[str, tuple[Mapping[str, Sequence[float]], str, str]] = {
        "wall_plain_over_ours": (seconds, "dspy_plain", "ours"),
        "wall_same_engine_over_ours": (seconds, "dspy_same_engine", "ours"),
        "wall_plain_over_bt_run": (seconds, "dspy_plain", "ours_bt_run"),
        "wall_same_engine_over_bt_run": (seconds, "dspy_same_engine", "ours_bt_run"),
        "prompt_tokens_plain_over_ours": (tokens, "dspy_plain", "ours"),
        "prompt_tokens_same_engine_over_ours": (tokens, "dspy_same_engine", "ours"),
        "prompt_tokens_asked_plain_over_ours": (asked, "dspy_plain", "ours"),
    }
    return {
        name: ratios(figures[over], figures[under])
        for name, (figures, over, under) in wanted.items()
        if over in taken and under in taken
    }


def _table(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    rows = []
    for name, many in runs.items():
        listed = {key: " / ".join(f"{run[key]:,}" for run in many) for key in ("calls", "prompt_tokens")}
        computed = " / ".join(f"{run['computed_prompt_tokens']:,}" for run in many)
        seconds = " / ".join(f"{run['seconds']:.0f}" for run in many)
        score = " / ".join(f"{run['test_score']:.3f}" for run in many)
        rows.append((NAMES[name], seconds, listed["calls"], listed["prompt_tokens"], computed, score))
    columns = ("contestant", "seconds", "LM calls", "prompt tokens asked", "computed", "test score")
    return Table("p -> w -> p on continents, a figure for each seed", columns, rows)


def _ratio_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [(name.replace("_", " "), shown(one, "x")) for name, one in found.items()]
    return Table("Ratios of the pairs", ("ratio", "median (min to max)"), rows)


def _notes(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    notes = []
    for name, many in runs.items():
        skipped = [seed for seed, run in enumerate(many) if not run["weight_step_ran"]]
        if skipped:
            notes.append(f"{NAMES[name]}: the weight step did NOT run on seed {', '.join(map(str, skipped))}.")
        for seed, run in enumerate(many):
            notes += [f"{NAMES[name]}, seed {seed}: {line.strip()}" for line in run.get("failed", ())]
        after = [run["calls_after_w"] for run in many if "calls_after_w" in run]
        if after:
            base, tuned = (sum(counts[key] for counts in after) for key in ("base", "tuned"))
            notes.append(
                f"{NAMES[name]}: after the weight step {base} calls went to the base model, {tuned} to its own."
            )
    return notes


if __name__ == "__main__":
    main()
