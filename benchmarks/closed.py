"""Ways to score closed answers: over the token tree (`scored`), or by the plain probabilities of all tokens (`whole`).

    python -m benchmarks.closed --train banking77_train.csv --test banking77_test.csv

Both ways answer the same test rows of a task with many labels, with and without label priors, with several numbers of
demonstrations, before and after a `w` that learns from labelled rows; and of a built-in task with few labels.

A prior is the mean log-probability of each label, by the same prompt, weights and way of scoring, over inputs whose
labels are not looked at: here all other rows that were answered, so that no further rows need to be run. It is
subtracted from the log-probabilities that the engine gave, as the engine itself does it. Rows are answered in blocks,
and after each block the figures so far are written; with a cache of answers (`BT_RESPONSE_CACHE`) a benchmark that was
stopped goes on where it was.
"""

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.models import add_model_options, open_model
from benchmarks.harness.record import Table, finish, parser, quiet
from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.tokens.token_tree import choose
from bt_core.lm.probe import closed_fields
from bt_core.lm.runner import Runner
from bt_core.program import Program, read_program
from bt_core.records import Call, Row, Trace, read_jsonl, row_id, write_traces
from bt_core.statistics.paired import Difference, paired_difference
from bt_core.statistics.proportion import proportion_interval
from bt_core.steps.engines import open_engine
from bt_core.steps.optimise.lora_finetune import lora_finetune
from bt_core.steps.prepare import prepare
from bt_core.task import DECLARED, Task, load_task

WAYS = ("scored", "whole")
FEW_LABELS = "continents"
DEMOS = (0, 8, 16)
BLOCK = 10


@dataclass(frozen=True)
class Prepared:
    """A task's rows and vanilla program."""

    folder: Path
    config: Config
    task: Task

    def rows(self, split: str) -> list[Row]:
        """The rows of a split."""
        return read_jsonl(self.folder / f"{split}.jsonl")

    @property
    def answer(self) -> str:
        """The column of the label, which is also the closed output field."""
        return self.task.labels[0]

    @property
    def label_count(self) -> int:
        """The number of possible answers."""
        return len(closed_fields(self.task)[self.answer])


@dataclass
class Case:
    """One program, whose answers are scored one way; `logprobs` has those of its labels for each row so far."""

    name: str
    way: str
    prepared: Prepared
    program: Program
    folder: Path
    logprobs: list[dict[str, float]] = field(default_factory=list)

    def answer(self, engine: Engine, rows: Sequence[Row]) -> None:
        """Answer further test rows; the last call of a run is the one that gives the answer."""
        decoding = self.prepared.config.decoding.model_copy(update={"closed": self.way})
        config = self.prepared.config.model_copy(update={"decoding": decoding})
        with quiet():
            traces = Runner(self.prepared.task, config, engine, self.folder).run(self.program, rows)
        self.logprobs += [trace.calls[-1].label_logprobs or {} for trace in traces]

    def scores(self, is_calibrated: bool) -> list[float]:
        """Whether each answer so far is right, with or without the prior."""
        rows = self.prepared.rows("test")[: len(self.logprobs)]
        labels = list(self.logprobs[0])
        table = np.array([[row[label] for label in labels] for row in self.logprobs])
        priors = (table.sum(0) - table) / (len(table) - 1) if is_calibrated else 0.0 * table
        chosen = [labels[choose(own, prior)] for own, prior in zip(table.tolist(), priors.tolist(), strict=True)]
        return [float(label == str(row[self.prepared.answer])) for label, row in zip(chosen, rows, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer all rows, and write the figures after each block."""
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = [*_many(options, folder / "many"), *_few(options, folder / "few")]
        cases = [case for case in made if any(text in case.name for text in options.only)]
        engine = open_engine(cases[0].program, cases[0].prepared.config)
        for first in range(0, options.rows, BLOCK):
            for case in cases:
                case.answer(engine, case.prepared.rows("test")[first : min(first + BLOCK, options.rows)])
            _write(options, cases)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("closed", "Two ways to score closed answers, on the same rows.", repeats=1)
    add_model_options(command)
    command.add_argument("--train", type=Path, required=True, help="CSV file to learn from, such as BANKING77's")
    command.add_argument("--test", type=Path, required=True, help="CSV file to draw test rows from")
    command.add_argument("--text", default="text", help="column of the text (default: %(default)s)")
    command.add_argument("--label", default="category", help="column of the label (default: %(default)s)")
    command.add_argument("--rows", type=int, default=200, help="test rows of each task (default: %(default)s)")
    command.add_argument("--learn", type=int, default=300, help="rows that `w` learns from (default: %(default)s)")
    command.add_argument("--epochs", type=int, default=1, help="of `w` (default: %(default)s)")
    command.add_argument("--learning-rate", type=float, default=2e-4, help="of `w` (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="draws rows and demonstrations (default: %(default)s)")
    command.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it takes by itself")
    command.add_argument("--only", nargs="+", default=[""], help="programs whose names have one of these texts in them")
    options = command.parse_args(arguments)
    if options.quick:
        options.rows, options.learn = 4, 24
    return options


def _many(options: argparse.Namespace, folder: Path) -> list[Case]:
    """The cases of the task with many labels."""
    settings = {
        "signature": "message -> intent",
        "instructions": "Name the intent of the bank customer's message.",
        "labels": {"intent": "data"},
        "metric": "label_accuracy",
        "data": {"train": str(options.train.resolve()), "test": str(options.test.resolve())},
        "columns": {"message": options.text, "intent": options.label},
        "format": "lines",
    }
    prepared = _prepared(options, folder, {"task": DECLARED, "task_settings": settings}, options.learn)
    vanilla = read_program(folder / "vanilla")
    demos = _demos(prepared, max(DEMOS), options.seed)
    _fine_tune(prepared)
    programs = {"before `w`": (vanilla, folder / "vanilla"), "after `w`": (read_program(folder / "w"), folder / "w")}
    return [
        Case(f"{prepared.label_count} labels, {count} demos, {when}", way, prepared, _with(program, demos[:count]), at)
        for when, (program, at) in programs.items()
        for count in DEMOS
        for way in WAYS
    ]


def _few(options: argparse.Namespace, folder: Path) -> list[Case]:
    """The cases of a built-in task with few labels."""
    prepared = _prepared(options, folder, {"task": FEW_LABELS}, BLOCK)
    vanilla = read_program(folder / "vanilla")
    name = f"{FEW_LABELS}, {prepared.label_count} labels"
    return [Case(name, way, prepared, vanilla, folder / "vanilla") for way in WAYS]


def _prepared(options: argparse.Namespace, folder: Path, task: Mapping[str, Any], train: int) -> Prepared:
    folder.mkdir()
    overrides = {
        **task,
        "model": open_model(options, folder).id,
        "seed": options.seed,
        "rows": {"train": train, "val": 10, "test": options.rows},
        "engine": {"device": options.device, "dtype": options.dtype},
        "w": {"epochs": options.epochs, "learning_rate": options.learning_rate, "holdout": 0.0},
    }
    train_file, val_file, test_file = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    with quiet():
        config, _ = prepare(overrides, train_file, val_file, test_file, folder / "vanilla")
    return Prepared(folder, config, load_task(config.task, config.task_settings))


def _demos(prepared: Prepared, count: int, seed: int) -> list[dict[str, Any]]:
    """Labelled train rows of different labels, as demonstrations."""
    rows = prepared.rows("train")
    random.Random(seed).shuffle(rows)
    fields = (*prepared.task.inputs, prepared.answer)
    by_label = {row[prepared.answer]: {name: row[name] for name in fields} for row in rows}
    return list(by_label.values())[:count]


def _with(program: Program, demos: Sequence[dict[str, Any]]) -> Program:
    states = {name: replace(state, demos=tuple(demos)) for name, state in program.predictors.items()}
    return replace(program, predictors=states)


def _fine_tune(prepared: Prepared) -> None:
    """Write the program after `w` on the right answers of all train rows, as if each trace had passed."""
    folder, task = prepared.folder, prepared.task
    (predictor,) = read_program(folder / "vanilla").predictors
    traces = []
    for row in prepared.rows("train"):
        given, outputs = {name: row[name] for name in task.inputs}, {prepared.answer: row[prepared.answer]}
        traces.append(Trace(row_id(row), 1.0, (Call(predictor, given, outputs),), outputs))
    write_traces(folder / "traces.jsonl", traces)
    train, val = folder / "train.jsonl", folder / "val.jsonl"
    with quiet():
        lora_finetune(folder / "vanilla", folder / "traces.jsonl", train, val, prepared.config, "1.w", folder / "w")


def _pairs(cases: Sequence[Case]) -> Iterator[tuple[str, Case, Case]]:
    """The two ways of each program."""
    by_name: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_name[case.name].append(case)
    for name, (tree, whole) in by_name.items():
        yield name, tree, whole


def _write(options: argparse.Namespace, cases: Sequence[Case]) -> None:
    figures = {
        f"{name}, {'prior' if prior else 'no prior'}": _compared(tree.scores(prior), whole.scores(prior))
        for name, tree, whole in _pairs(cases)
        for prior in (False, True)
    }
    names = ("rows", "learn", "epochs", "learning_rate", "seed", "random_model")
    result = {"comparisons": figures, "settings": {name: getattr(options, name) for name in names}}
    finish("closed", options, result, [_table(figures)], [])


def _compared(tree: Sequence[float], whole: Sequence[float]) -> dict[str, Any]:
    found: Difference = paired_difference(tree, whole)
    return {
        "rows": found.rows,
        "scored": _share(tree),
        "whole": _share(whole),
        "difference": {"mean": found.mean, "low": found.low, "high": found.high},
        "better": found.better,
        "worse": found.worse,
        "p_value": found.p_value,
        "test": found.method,
    }


def _share(scores: Sequence[float]) -> dict[str, float]:
    low, high = proportion_interval([score > 0 for score in scores])
    return {"mean": sum(scores) / len(scores), "low": low, "high": high}


def _table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        (
            name,
            str(one["rows"]),
            f"{one['scored']['mean']:.3f}",
            f"{one['whole']['mean']:.3f}",
            "{mean:+.3f} ({low:+.3f} to {high:+.3f})".format(**one["difference"]),
            f"{one['better']} / {one['worse']}",
            f"{one['p_value']:.2g}",
        )
        for name, one in figures.items()
    ]
    columns = ("program", "rows", "`scored`", "`whole`", "difference, 95 % interval", "better / worse", "McNemar p")
    return Table("Accuracy of two ways to score closed answers", columns, rows)


if __name__ == "__main__":
    main()
