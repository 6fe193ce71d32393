"""The record of a benchmark: paired runs, their ratios, facts about the machine, tables, and a JSON file.

Machines are shared and noisy: a single time says little, and the ratio of two times that were measured one right after
the other says more. So contestants run in turn (A B A B ...), and the report is the median of the pairs' ratios, with
the smallest and the largest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.table import Table as RichTable

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CODE = ("bt_core", "bt_cli", "bt_tasks", "bt_tracking", "components", "pipelines", "benchmarks/*.py")


@dataclass(frozen=True)
class Table:
    """A table as it is printed and as it is shown in docs/benchmarks.md. The first column is left-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Timed(Generic[T]):
    """The result of a run, and the wall seconds that it took."""

    seconds: float
    result: T


def timed(run: Callable[[], T]) -> Timed[T]:
    """Run once and measure the time."""
    started = time.perf_counter()
    result = run()
    return Timed(time.perf_counter() - started, result)


def in_turn(runs: Mapping[str, Callable[[int], T]], repeats: int) -> dict[str, list[Timed[T]]]:
    """Run every contestant in turn, `repeats` times. Each gets the number of the repeat.

    Raises:
        SystemExit: when there are no repeats.
    """
    if repeats < 1:
        raise SystemExit("benchmarks: --repeats must be at least 1.")
    taken: dict[str, list[Timed[T]]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            taken[name].append(timed(partial(run, repeat)))
    return taken


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest, to four significant digits."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def ratios(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """`spread` of the pairs' ratios."""
    return spread([above / below for above, below in zip(over, under, strict=True)])


def shown(found: Mapping[str, float], unit: str = "") -> str:
    """A spread as text: `9.70x (9.10 to 10.2)`."""
    middle, low, high = (_digits(found[name]) for name in ("median", "min", "max"))
    return f"{middle}{unit} ({low} to {high})"


def percent(found: Mapping[str, float]) -> str:
    """A spread of shares as text: `79.3 % (73.0 to 80.1)`."""
    return shown({name: 100 * value for name, value in found.items()}, " %")


def _digits(value: float) -> str:
    """Three significant digits; whole from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def parser(name: str, description: str, repeats: int = 3) -> argparse.ArgumentParser:
    """A command line with the options that every benchmark has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="JSON file to write")
    made.add_argument("--repeats", type=int, default=repeats, help="paired runs (default: %(default)s)")
    made.add_argument("--quick", action="store_true", help="a small size: shows that it works, measures nothing")
    return made


def finish(
    name: str, options: argparse.Namespace, result: Mapping[str, Any], tables: Sequence[Table], notes: Sequence[str]
) -> None:
    """Print the tables and notes, and write everything to the JSON file.

    Args:
        name: the benchmark's name.
        options: the parsed options; `out` is the file to write.
        result: the figures, with `ratios` among them.
        tables: the tables to print.
        notes: sentences below the tables.
    """
    document = {"name": name, "machine": facts(), "quick": options.quick, "repeats": options.repeats, **result}
    document |= {"tables": [asdict(table) for table in tables], "notes": list(notes)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    console = Console(width=160)  # tables are wide, and a terminal wraps them itself
    for table in tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)
    for note in notes:
        console.print(note, markup=False, highlight=False)


def facts() -> dict[str, Any]:
    """The facts that the figures depend on, without the name of the machine."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": device,
        "versions": {package: version(package) for package in ("torch", "transformers", "peft", "dspy")},
        "python": ".".join(map(str, sys.version_info[:3])),
        "date": datetime.now(UTC).date().isoformat(),
        "revision": _revision(),
        "command": _command(),
    }


def _revision() -> str:
    """The commit, and whether the files differed from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--", *CODE)
    return f"{commit} with changes" if changed else commit


def _command() -> str:
    """The command line, absolute paths cut to their names."""
    arguments = [Path(text).name if Path(text).is_absolute() else text for text in sys.argv]
    arguments[0] = f"benchmarks.{Path(sys.argv[0]).stem}"
    return " ".join(["python -m", *arguments])


@contextmanager
def quiet() -> Iterator[StringIO]:
    """Redirect progress bars and messages of libraries into the text that this yields."""
    log = StringIO()
    with redirect_stdout(log), redirect_stderr(log):
        yield log
