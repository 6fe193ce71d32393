"""The time that a local run spends outside the model: processes, imports, loading, tracking.

    python -m benchmarks.orchestration
    python -m benchmarks.orchestration --strategy "p -> w -> p" --rows 50 --repeats 1

A small pipeline on the embedded model runs with warm and with cold tasks in turn. Orchestration is the wall time
less the seconds inside the LM engine and inside training, as the tasks' own reports give them. The last row is the
same run again with every LM answer and adapter taken from the cache: all that is left is orchestration.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness.record import ROOT, Table, Timed, finish, in_turn, parser, ratios, shown, spread, timed
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.records import StageReport
from bt_core.strategy import format_strategy, parse_strategy, strategy_slug
from bt_pipelines.compile import compile_strategy
from bt_runner.events import LocalRun
from bt_runner.run import run_locally
from bt_tracking import open_experiment
from bt_tracking.server import local_store

#: Modules that tasks import. Each import is timed in a new process, as in a cold task.
MODULES = ("kfp.dsl.executor", "dspy", "mlflow", "torch", "transformers.modeling_utils", "peft", "scipy.stats")
SETTINGS = {"w": {"min_traces": 1, "epochs": 1}}


def main() -> None:
    """Measure, print, write the JSON file."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        open_experiment(local_store(folder))  # otherwise the first run alone would create the store's tables
        pipeline = compile_strategy(parse_strategy(options.strategy), folder / "pipeline.yaml")
        once = partial(_run, pipeline, folder, options)
        runs = in_turn({"cold": partial(once, warm=False), "warm": partial(once, warm=True)}, options.repeats)
        once(0, warm=True, cache=folder / "answers")  # fills the cache
        runs["warm, answers cached"] = [timed(partial(once, 0, warm=True, cache=folder / "answers"))]
    imports = {name: [import_seconds(name) for _ in range(options.repeats)] for name in MODULES}
    _report(options, {name: [_parts(one) for one in taken] for name, taken in runs.items()}, runs, imports)


def _options() -> argparse.Namespace:
    made = parser("orchestration", str(__doc__).splitlines()[0])
    made.add_argument("--strategy", default="p", help="what to run (default: %(default)s)")
    made.add_argument("--task", default="continents", help="the task (default: %(default)s)")
    made.add_argument("--rows", type=int, default=8, help="rows of each split (default: %(default)s)")
    options = made.parse_args()
    options.strategy = format_strategy(parse_strategy(options.strategy))
    if options.quick:
        options.repeats, options.rows, options.strategy = 1, 4, "p"
    return options


def _run(
    pipeline: Path, folder: Path, options: argparse.Namespace, repeat: int, warm: bool, cache: Path | None = None
) -> LocalRun:
    """Run the pipeline once, in a new folder, tracked in the store that all runs share."""
    home = Path(tempfile.mkdtemp(dir=folder))
    rows = {f"{split}_rows": options.rows for split in ("train", "val", "test")}
    parameters = {"task": options.task, "seed": repeat, "config": json.dumps(SETTINGS), **rows}
    environment = {
        "MLFLOW_TRACKING_URI": local_store(folder),
        "BT_RUN_ID": home.name,
        "BT_STRATEGY": strategy_slug(parse_strategy(options.strategy)),
        CACHE_VARIABLE: str(cache or ""),
    }
    return run_locally(pipeline, home, parameters, environment, warm=warm)


def _parts(taken: Timed[LocalRun]) -> dict[str, float]:
    """The parts of a run's wall time, in seconds."""
    reports = [task.report for task in taken.result.tasks.values()]
    engine = sum(report.usage.seconds for report in reports)
    training = sum(map(_training_seconds, reports))
    rest = taken.seconds - engine - training
    return {
        "wall": taken.seconds,
        "engine": engine,
        "training": training,
        "orchestration": rest,
        "share": 100 * rest / taken.seconds,
    }


def _training_seconds(report: StageReport) -> float:
    """Seconds of training. A stage whose answers came from the cache got its adapter from there too."""
    return 0.0 if report.usage.cached_calls else report.metrics.get("train/seconds", 0.0)


def import_seconds(module: str) -> float:
    """Seconds to import a module in a fresh process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def _report(
    options: argparse.Namespace,
    parts: Mapping[str, Sequence[Mapping[str, float]]],
    runs: Mapping[str, Sequence[Timed[LocalRun]]],
    imports: Mapping[str, Sequence[float]],
) -> None:
    figures = {name: {key: spread([one[key] for one in taken]) for key in taken[0]} for name, taken in parts.items()}
    units = {"wall": " s", "engine": " s", "training": " s", "orchestration": " s", "share": " %"}
    walls = Table(
        f"{options.strategy} on {options.task}, {options.rows} rows a split: median (smallest to largest)",
        ["tasks", *units],
        [[name, *(shown(found[key], unit) for key, unit in units.items())] for name, found in figures.items()],
    )
    outside = {name: _outside(taken) for name, taken in runs.items()}
    tasks = Table(
        "seconds of each task outside engine and training, median",
        ["task", *outside],
        [[label, *(f"{found[label]:.2f}" for found in outside.values())] for label in outside["cold"]],
    )
    loading = Table(
        "import in a fresh process", ["module", "seconds"], [[name, shown(spread(t))] for name, t in imports.items()]
    )
    saved = ratios(*([one["orchestration"] for one in parts[name]] for name in ("cold", "warm")))
    result: dict[str, Any] = {
        "strategy": options.strategy,
        "rows": options.rows,
        "runs": figures,
        "tasks": outside,
        "imports": {name: spread(seconds) for name, seconds in imports.items()},
        "ratios": {"orchestration, cold over warm": saved},
    }
    finish("orchestration", options, result, [walls, tasks, loading], [f"Cold over warm: {shown(saved, 'x')}."])


def _outside(taken: Sequence[Timed[LocalRun]]) -> dict[str, float]:
    """Label -> median seconds of the task outside engine and training."""
    found = {}
    for label in taken[0].result.tasks:
        tasks = [one.result.tasks[label] for one in taken]
        rest = [task.seconds - task.report.usage.seconds - _training_seconds(task.report) for task in tasks]
        found[label] = round(statistics.median(rest), 3)
    return found


if __name__ == "__main__":
    main()
