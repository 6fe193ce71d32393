"""The folder of a run or a sweep: the names of its files, and its default place."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bt_core.config import Config
from bt_core.strategy import Strategy, strategy_slug

#: The default folder of runs and of their tracking store.
RUNS = Path("runs")


@dataclass(frozen=True)
class Folder:
    """The files that every local run of a pipeline leaves behind."""

    path: Path

    @property
    def pipeline(self) -> Path:
        """The compiled pipeline that ran."""
        return self.path / "pipeline.yaml"

    @property
    def artifacts(self) -> Path:
        """The outputs of every task, and run.log with every line that a task printed."""
        return self.path / "artifacts"

    @property
    def results(self) -> Path:
        """Test results, a row for each example."""
        return self.path / "results.jsonl"

    @property
    def program(self) -> Path:
        """The final program directory."""
        return self.path / "program"

    @property
    def arguments(self) -> Path:
        """What was to be run, by which the same command can go on."""
        return self.path / "arguments.json"

    @property
    def caches(self) -> Path:
        """LM answers and adapters of all runs in the same parent folder."""
        return self.path.parent / ".bt-cache"

    def discard(self) -> None:
        """Remove what an unfinished run has written, where the folder of such a command is removed or used again."""


@dataclass(frozen=True)
class RunFolder(Folder):
    """The files that `bt run` leaves behind."""

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def html(self) -> Path:
        """The page that shows the result."""
        return self.path / "report.html"

    @property
    def files(self) -> Mapping[str, Path]:
        """Description -> file, of the files that a person reads."""
        return {"result": self.result, "page": self.html, "test examples": self.results, "pipeline": self.pipeline}

    def discard(self) -> None:
        for folder in (self.artifacts, self.program):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.pipeline, self.arguments, self.results, self.html):
            file.unlink(missing_ok=True)

    def is_unfinished(self, arguments: str) -> bool:
        """Whether a run of these arguments has begun here, and has no result."""
        began = bool(arguments) and self.arguments.is_file() and not self.result.exists()
        return began and self.arguments.read_bytes() == arguments.encode()


@dataclass(frozen=True)
class SweepFolder(Folder):
    """The files that `bt sweep` leaves behind; `results` and `program` are the winner's."""

    @property
    def extension(self) -> Path:
        """The name of the folder of the second look; the file exists once that look has begun."""
        return self.path / "extension.json"

    @property
    def sweep(self) -> Path:
        """All figures; the file exists once the sweep is finished."""
        return self.path / "sweep.json"

    @property
    def html(self) -> Path:
        return self.path / "report.html"

    @property
    def markdown(self) -> Path:
        return self.path / "report.md"

    @property
    def has_scored(self) -> bool:
        """Whether a task of the last call has begun to score programs on the test rows."""
        return any(self.artifacts.rglob("scored"))

    def scores(self, arm: str, seed: int) -> Path:
        """The test results of one program."""
        return self.path / "scores" / f"{arm.replace(' -> ', '-')}-seed{seed}.jsonl"


def default_folder(config: Config, strategy: Strategy) -> Path:
    """`runs/<task>-<strategy>-seed<seed>-<time>`, with the task's import path turned into a file name."""
    return _named(config.task, f"{strategy_slug(strategy)}-seed{config.seed}")


def default_sweep_folder(config: Config) -> Path:
    """`runs/<task>-sweep-<time>`."""
    return _named(config.task, "sweep")


def default_extension_folder(first: Path) -> Path:
    """`DIR-extended` beside the folder of the first look, where the caches are; always the same, so that it goes on."""
    folder = first.resolve()
    return folder.with_name(f"{folder.name}-extended")


def _named(task: str, what: str) -> Path:
    safe = "".join(letter if letter.isalnum() else "-" for letter in task)
    return RUNS / f"{safe}-{what}-{datetime.now():%Y%m%d-%H%M%S}"
