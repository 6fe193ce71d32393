"""A whole strategy in one place, on one engine: what the pipeline otherwise does in a pod a stage.

    per step: bootstrap -> optimise -> select

Stages have the labels, inputs and files that they have in pods of their own, so that the programs are the same.
"""

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bt_core.config import Config, step_kinds
from bt_core.engine.lazy_engine import SharedEngine
from bt_core.engine.training.job import RemoteTraining
from bt_core.program import read_program
from bt_core.records import StageReport
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.common import open_engine
from bt_core.steps.select import select
from bt_core.strategy import parse_strategy


@dataclass(frozen=True)
class Ended:
    """A stage that has ended.

    Attributes:
        report: what it tells.
        made: its files and folders, by what they are called in MLflow.
        data: the rows that it used, by their split.
    """

    report: StageReport
    made: Mapping[str, Path]
    data: Mapping[str, Path]


def chain(
    program: Path,
    train: Path,
    val: Path,
    config: Config,
    strategy: str,
    stages: Path,
    selected: Path,
    training: Callable[[Config], RemoteTraining | None] = lambda config: None,
) -> Generator[Ended, None, None]:
    """Run every step of a strategy, and write the best program by validation.

    The model is loaded once, and again after each training and each teacher in this process, who get its memory.

    Args:
        program: the program directory to start from.
        train, val: JSONL.
        config: the run's merged configuration.
        strategy: as written, `p -> w -> p`.
        stages: folder to write for what each stage makes, by its label.
        selected: the program directory to write.
        training: says what trains elsewhere, if anything; asked where the strategy trains.

    Yields:
        Each stage when it has ended, before the next one begins.

    Raises:
        BtError: as the stage that failed does.
    """
    steps = parse_strategy(strategy)
    kinds = step_kinds()
    stage_functions = {name: kinds[name].load_stage() for name in dict.fromkeys(steps)}
    remote = training(config) if any(kinds[name].trains for name in steps) else None
    shutil.rmtree(stages, ignore_errors=True)
    stages.mkdir(parents=True)
    best = program
    with closing(SharedEngine(partial(open_engine, read_program(program), config))) as engine:
        for number, name in enumerate(steps, start=1):
            if config.teacher.model and config.teacher.engine.kind != "server":
                engine.close()
            traces, optimised = stages / f"{number}.bootstrap", stages / f"{number}.{name}"
            gathered = bootstrap(program, train, config, traces.name, traces, engine)
            yield Ended(gathered, {"traces.jsonl": traces}, {"train": train})
            engine.forget()
            inputs = program, traces, train, val, config, optimised.name, optimised, engine
            improved = stage_functions[name](*inputs, **({"remote": remote} if kinds[name].trains else {}))
            yield Ended(improved, {"program": optimised}, {"train": train, "val": val})
            engine.forget()
            kept = selected if number == len(steps) else stages / f"{number}.select"
            yield Ended(select(best, optimised, config, f"{number}.select", kept), {}, {})
            program, best = optimised, kept
