"""A whole strategy in one place, on one engine: what the pipeline otherwise does in a pod a stage.

    per step: bootstrap -> optimise (p, w, g or m) -> select

Stages have the labels, inputs and files that they have in pods of their own, so that the programs are the same.
"""

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.engine.training.job import RemoteTraining
from bt_core.program import read_program
from bt_core.records import StageReport
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.engines import open_engine
from bt_core.steps.select import select
from bt_core.strategy import parse_strategy

#: Step kind -> the module of this folder that makes the step, by a function of its name.
OPTIMISERS = {"p": "prompt_search", "w": "lora_finetune", "g": "gepa_search", "m": "mipro_search"}


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
    more: dict[str, dict[str, Any]] = {"w": {"remote": training(config)}} if "w" in steps else {}
    shutil.rmtree(stages, ignore_errors=True)
    stages.mkdir(parents=True)
    best = program
    with closing(LazyEngine(partial(open_engine, read_program(program), config))) as engine:
        for number, kind in enumerate(steps, start=1):
            if config.teacher.model and config.teacher.engine.kind != "server":
                engine.close()
            traces, optimised = stages / f"{number}.bootstrap", stages / f"{number}.{kind}"
            gathered = bootstrap(program, train, config, traces.name, traces, engine)
            yield Ended(gathered, {"traces.jsonl": traces}, {"train": train})
            engine.forget()
            inputs = program, traces, train, val, config, optimised.name, optimised, engine
            improved = _optimiser(kind)(*inputs, **more.get(kind, {}))
            yield Ended(improved, {"program": optimised}, {"train": train, "val": val})
            engine.forget()
            kept = selected if number == len(steps) else stages / f"{number}.select"
            yield Ended(select(best, optimised, config, f"{number}.select", kept), {}, {})
            program, best = optimised, kept


def _optimiser(kind: str) -> Callable[..., StageReport]:
    """Imported when it is needed, since searches load libraries of their own."""
    name = OPTIMISERS[kind]
    found: Callable[..., StageReport] = getattr(import_module(f"{__package__}.{name}"), name)
    return found
