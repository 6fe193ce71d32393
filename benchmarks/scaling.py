"""The cost of a prompt search by the number of candidates, validation rows and demonstrations.

    python -m benchmarks.scaling

One setting is varied at a time around the default; the settings run in turn, so that each time can be given as a
ratio to the default's time of the same round. The traces are the vanilla program's own, made once, outside the time.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness.models import add_model_options, open_model
from benchmarks.harness.record import Table, finish, in_turn, parser, quiet, ratios, shown, spread
from bt_core.config import Config
from bt_core.engine.base import Completion, Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.models import resolve_model
from bt_core.records import StageReport, Usage, read_jsonl, write_jsonl
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.optimise.prompt_search import prompt_search
from bt_core.steps.prepare import prepare

TASK = "continents"
DEFAULT = {"candidates": 4, "val": 50, "demos": 3}
VARIED = {"candidates": (2, 4, 8), "val": (20, 50, 100), "demos": (1, 3, 5)}
QUICK_DEFAULT = {"candidates": 2, "val": 8, "demos": 2}
QUICK_VARIED = {"candidates": (2, 3), "val": (8, 12), "demos": (1, 2)}


@dataclass
class Counting:
    """The engine, which counts the tokens of its requests apart: shared prefixes, and the suffix of each request."""

    engine: TransformersEngine
    prefixes: dict[tuple[Any, ...], int] = field(default_factory=dict)
    suffix_tokens: int = 0

    @property
    def usage(self) -> Usage:
        """The usage, as the engine counts it."""
        return self.engine.usage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer, and count distinct prefixes (instruction and demonstrations) and every suffix (the question)."""
        completions = self.engine.generate(requests)
        for request, completion in zip(requests, completions, strict=True):
            before = request.messages[:-1]
            if before not in self.prefixes:
                chat = [{"role": message.role, "content": message.content} for message in before]
                text = self.engine.tokenizer.apply_chat_template(chat, tokenize=False)
                self.prefixes[before] = len(self.engine.tokenizer(text, add_special_tokens=False)["input_ids"])
            self.suffix_tokens += completion.prompt_tokens - self.prefixes[before]
        return completions

    def forget(self) -> None:
        """Have the engine forget."""
        self.engine.forget()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every setting in turn and print the table."""
    options = _options(arguments)
    default, varied = (QUICK_DEFAULT, QUICK_VARIED) if options.quick else (DEFAULT, VARIED)
    points = {_name(default): default} | {
        _name(point): point for key, values in varied.items() for value in values if (point := default | {key: value})
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = _prepared(options, folder, max(varied["val"]))
        contestants = {name: partial(_search, folder, config, point) for name, point in points.items()}
        taken = in_turn(contestants, options.repeats)
    searches = {name: [run.result for run in runs] for name, runs in taken.items()}
    found = {name: _figures(runs, searches[_name(default)], points[name]) for name, runs in searches.items()}
    result = {
        "ratios": {name: one["time_over_default"] for name, one in found.items()},
        "default": default,
        "points": found,
        "settings": {name: getattr(options, name) for name in ("train", "random_model")},
    }
    finish("scaling", options, result, [_table(found)], [_dominant(found)])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("scaling", "What one prompt search costs.")
    add_model_options(command)
    command.add_argument("--train", type=int, default=50, help="rows that the traces come from")
    options = command.parse_args(arguments)
    if options.quick:
        options.repeats, options.train = 1, 16
    return options


def _name(point: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in point.items())


def _prepared(options: argparse.Namespace, folder: Path, val: int) -> Config:
    """Write splits, vanilla program and its traces to the folder."""
    base = open_model(options, folder)
    overrides = {
        "task": TASK,
        "model": base.id,
        "rows": {"train": options.train, "val": val, "test": 5},
        "engine": {"device": options.device, "dtype": options.dtype},
    }
    train, val_rows, test = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    with quiet():
        config, _ = prepare(overrides, train, val_rows, test, folder / "vanilla")
        bootstrap(folder / "vanilla", train, config, "bootstrap", folder / "traces")
    return config


@dataclass(frozen=True)
class Search:
    """A prompt search: its report, its requests, and its seconds, without the loading of the model."""

    report: StageReport
    asked: Counting

    @property
    def seconds(self) -> float:
        """Seconds from opening the program to the report."""
        return self.report.ended - self.report.started


def _search(folder: Path, config: Config, point: Mapping[str, int], repeat: int) -> Search:
    """Search once, on a new engine; the seed is the number of the repeat."""
    rows = folder / f"val{point['val']}.jsonl"
    write_jsonl(rows, read_jsonl(folder / "val.jsonl")[: point["val"]])
    search = {"candidates": point["candidates"], "max_demos": point["demos"]}
    chosen = config.model_copy(update={"seed": repeat, "p": config.p.model_copy(update=search)})
    asked = Counting(TransformersEngine(resolve_model(config.model), config.engine))
    inputs = (folder / "vanilla", folder / "traces", folder / "train.jsonl", rows)
    with quiet():
        return Search(prompt_search(*inputs, chosen, "1.p", folder / "searched", asked), asked)


def _figures(runs: Sequence[Search], default: Sequence[Search], point: Mapping[str, int]) -> dict[str, Any]:
    usages = [run.report.usage for run in runs]
    seconds = [run.seconds for run in runs]
    return {
        **point,
        "seconds": spread(seconds),
        "time_over_default": ratios(seconds, [run.seconds for run in default]),
        "calls": spread([usage.calls for usage in usages]),
        "prompt_tokens": spread([usage.prompt_tokens for usage in usages]),
        "computed_prompt_tokens": spread([usage.computed_prompt_tokens for usage in usages]),
        "prefix_tokens": spread([sum(run.asked.prefixes.values()) for run in runs]),
        "suffix_tokens": spread([run.asked.suffix_tokens for run in runs]),
        "completion_tokens": spread([usage.completion_tokens for usage in usages]),
        "race_saved": spread([run.report.metrics["search/saved"] for run in runs]),
    }


def _table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        (
            str(one["candidates"]),
            str(one["val"]),
            str(one["demos"]),
            shown(one["seconds"]),
            shown(one["time_over_default"], "x"),
            *(f"{one[key]['median']:,.0f}" for key in ("calls", "prompt_tokens", "computed_prompt_tokens")),
            f"{one['race_saved']['median']:.0%}",
        )
        for one in found.values()
    ]
    columns = ("candidates", "validation rows", "demos", "seconds", "over the default", "LM calls", "tokens asked")
    return Table("One prompt search, continents", (*columns, "computed", "saved by the race"), rows)


def _dominant(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A sentence that says where most of the tokens are, for the default setting."""
    default = next(iter(found.values()))
    parts = {
        "prefixes (instruction and demonstrations, once each)": default["prefix_tokens"]["median"],
        "suffixes (the questions)": default["suffix_tokens"]["median"],
        "decoded answers": default["completion_tokens"]["median"],
    }
    most = max(parts, key=lambda name: parts[name])
    listed = ", ".join(f"{count:,.0f} in {name}" for name, count in parts.items())
    return f"Tokens of the default: {listed}. Most are in {most}."


if __name__ == "__main__":
    main()
