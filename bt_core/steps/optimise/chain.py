"""A whole strategy in one process, on one engine; otherwise each of its stages has a pod of its own.

    per step: bootstrap -> optimise

The stages have the labels, inputs and files that they have in pods of their own, so that the programs are the same.
"""

import shutil
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path

from bt_core.config import Config, step_kinds
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.engine.training.job import RemoteTraining
from bt_core.program import read_program
from bt_core.records import StageReport
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.engines import open_engine
from bt_core.steps.folders import RowsFolder
from bt_core.steps.handover import hand_over, stage_reports
from bt_core.steps.select import select
from bt_core.steps.stage import FinishedStage
from bt_core.strategy import Strategy, parse_strategy


def chain(
    program: Path,
    rows: RowsFolder,
    strategy: str,
    stages: Path,
    training: Callable[[Config], RemoteTraining | None] = lambda config: None,
) -> Generator[FinishedStage, None, None]:
    """Run every step of a strategy.

    The model is loaded once, and again after each training and each teacher in this process, which need its memory.

    Args:
        program: the program directory to start from.
        rows: the rows and the run's merged configuration.
        strategy: as written, `p -> w -> p`.
        stages: the folder to write; it holds the output of each stage under the stage's label. The last step's output
            is the last program, with the best one in it where that is another (`bt_core.steps.handover`).
        training: returns what trains outside this process, or None; called only where the strategy tunes weights.

    Yields:
        Each stage when it has ended, before the next one begins.

    Raises:
        BtError: when a stage fails.
    """
    steps, config = parse_strategy(strategy), rows.config
    optimisers = _optimisers(steps, config, training)
    shutil.rmtree(stages, ignore_errors=True)
    stages.mkdir(parents=True)
    with closing(LazyEngine(partial(open_engine, read_program(program), config))) as engine:
        for number, name in enumerate(steps, start=1):
            if config.teacher.model and config.teacher.engine.kind != "server":
                engine.close()
            traces, optimised = stages / f"{number}.bootstrap", stages / f"{number}.{name}"
            report = bootstrap(program, rows.train, config, traces.name, traces, engine)
            yield FinishedStage(report, {"traces.jsonl": traces}, {"train": rows.train}, program)
            engine.forget()
            inputs = program, traces, rows.train, rows.val, config, optimised.name, optimised, engine
            report = optimisers[name](*inputs)
            selection = select(program, optimised, config)
            yield FinishedStage(selection.told(report), {"program": optimised}, {"train": rows.train, "val": rows.val})
            engine.forget()
            hand_over(optimised, stage_reports(program), selection.best)
            program = optimised


def _optimisers(
    steps: Strategy, config: Config, training: Callable[[Config], RemoteTraining | None]
) -> dict[str, Callable[..., StageReport]]:
    """The stage function of each step kind in the strategy; those that tune weights have their `remote` already."""
    kinds = {name: step_kinds()[name] for name in steps}
    remote = training(config) if any(kind.trains for kind in kinds.values()) else None
    functions = {name: kind.load_stage() for name, kind in kinds.items()}
    tuning = {name: partial(function, remote=remote) for name, function in functions.items() if kinds[name].trains}
    return functions | tuning
