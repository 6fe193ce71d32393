"""The folder of a run or a sweep: the names of its files, its default place, and the claim on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from bt_core.config import Config
from bt_core.errors import ConfigError
from bt_core.shared_files import CLAIM_FILE, claimed, is_claimed
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
    def caches(self) -> Path:
        """LM answers and adapters of all runs in the same parent folder."""
        return self.path.parent / ".bt-cache"


@dataclass(frozen=True)
class RunFolder(Folder):
    """The files that `bt run` leaves behind."""

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def files(self) -> Mapping[str, Path]:
        """Description -> file, of the files that a person reads."""
        return {"result": self.result, "test examples": self.results, "pipeline": self.pipeline}


@dataclass(frozen=True)
class SweepFolder(Folder):
    """The files that `bt sweep` leaves behind; `results` and `program` are the winner's."""

    @property
    def arguments(self) -> Path:
        """The arguments that the sweep was started with, by which it can go on."""
        return self.path / "arguments.json"

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


@contextmanager
def new_folder(out: Path | None, default: Path) -> Iterator[RunFolder]:
    """Make the folder of a run, and claim it for the block.

    Args:
        out: the folder that the user named; None: the default one, with a number behind its name where it is taken.
        default: as `default_folder` gives it.

    Raises:
        ConfigError: when the folder is not empty, since a run never overwrites another one, or another process has
            claimed it.
    """
    if out:
        if not is_claimed(out):
            _check_new(out)
        out.mkdir(parents=True, exist_ok=True)
    path = out or _made(default)
    with claimed_folder(path, f"The --out folder {path} is in use by another process: name another one."):
        _check_new(path)  # again, now that nobody else fills it
        yield RunFolder(path.resolve())


@contextmanager
def claimed_folder(path: Path, refusal: str) -> Iterator[None]:
    """Claim an existing folder for the block.

    Raises:
        ConfigError: the refusal, when another process has claimed it.
    """
    with claimed(path) as is_ours:
        if not is_ours:
            raise ConfigError(refusal)
        yield


def _made(default: Path) -> Path:
    """A folder that this process alone has made: two runs may begin in one second."""
    for number in count(1):
        path = default if number == 1 else default.with_name(f"{default.name}-{number}")
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("numbers do not end")


def _check_new(path: Path) -> None:
    first = first_entry(path)
    if first is not None:
        folder = RunFolder(path)
        holds = "already holds a run" if folder.result.exists() or folder.pipeline.exists() else "is not empty"
        raise ConfigError(f"The --out folder {path} {holds} ({first.name}): name another one, nothing was written.")


def first_entry(path: Path) -> Path | None:
    """Any entry of the folder but its claim; None where it has none or does not exist.

    Raises:
        ConfigError: when the path is a file, or Kubeflow would take a part of it for a placeholder.
    """
    if "{{$" in str(path.absolute()):
        raise ConfigError("The --out folder's path holds `{{$`, which begins a placeholder of Kubeflow: name another.")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out {path} is a file: name a folder that does not exist yet.")
    return next((entry for entry in path.iterdir() if entry.name != CLAIM_FILE), None) if path.is_dir() else None
