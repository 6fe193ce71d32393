"""Where trials take place: start `bt`, find every process of a run, and read how the run ended."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.errors import BtError
from bt_core.formats.run_result import RunResult
from bt_core.models import EMBEDDED_MODEL, resolve_model
from tests.core.conftest import make_tiny_model

T = TypeVar("T")

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[2]
#: By this variable in their environment the processes of one run are found, whoever their parent is by now.
MARK = "BT_CHAOS_RUN"
#: Seconds within which all processes of a run that has ended must be gone.
GRACE = 2.0
#: A run that takes longer than this hangs.
LONGEST = 300.0
#: `p -> w` on a task of 28 rows.
WEIGHTS = ("--strategy", "p -> w", "--set", "w.epochs=1", "--set", "w.min_traces=1", "--set", "w.rank=2")


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it left behind.

    Attributes:
        folder: its `--out` folder.
        status: its exit status; negative: the number of the signal that killed it.
        text: all that it printed.
        log: the log of its tasks; empty where there is none.
        processes: the command lines of those that were still there `GRACE` seconds after the end.
    """

    folder: Path
    status: int
    text: str
    log: str
    processes: tuple[str, ...]

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.text + self.log

    @property
    def sentence(self) -> str:
        """The sentence of a run that failed; empty: it said none."""
        lines = [line for line in self.text.splitlines() if line.startswith("bt: ")]
        return lines[-1] if lines else ""

    @cached_property
    def outcome(self) -> Mapping[str, str]:
        """What a run is for: its program, its test rows and scores, without times, ids and what came from a cache."""
        return outcome(self.folder)


def outcome(folder: Path) -> Mapping[str, str]:
    """File or figure of a finished run -> its sha256 or value; empty where the run has no result that can be read."""
    try:
        result = RunResult.read(folder / "result.json")
    except BtError:
        return {}
    program = sorted(path for path in (folder / "program").rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in (*program, folder / "results.jsonl")}
    scores = [(step.stage, step.validation) for step in result.steps]
    return files | {"test": str(result.test), "steps": str(scores), "shipped": result.shipped}


@dataclass
class Running:
    """A run under way, with every process of it marked."""

    folder: Path
    process: subprocess.Popen[bytes]
    mark: str
    printed: Path

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that belong to the run and are alive."""
        return dict(_marked(self.mark))

    def signal(self, number: int) -> None:
        """Send a signal to `bt` alone."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill_all(self) -> None:
        """End all at once, as when a machine goes down."""
        while alive := self.processes():
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.01)

    def end(self) -> Ended:
        """Wait for the end, and then for the processes that are left."""
        try:
            status = self.process.wait(LONGEST)
            left = _wait(lambda: not self.processes(), GRACE)
            processes = () if left else tuple(self.processes().values())
        except subprocess.TimeoutExpired:
            status, processes = -signal.SIGALRM, ("the run hung",)
        self.kill_all()
        log = self.folder / "artifacts" / "run.log"
        text = self.printed.read_text(errors="replace")
        return Ended(self.folder, status, text, log.read_text(errors="replace") if log.exists() else "", processes)


@dataclass(frozen=True)
class Place:
    """The folder of all trials, with the tiny model and the undisturbed runs that trials are compared with."""

    folder: Path
    servers: ExitStack
    _references: dict[tuple[str, ...], Ended] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)

    def shared(self, make: Callable[[Path], AbstractContextManager[T]]) -> T:
        """A server that all trials use, started in a folder of its own when it is first needed."""
        if make.__name__ not in self._shared:
            self._shared[make.__name__] = self.servers.enter_context(make(self.folder / make.__name__))
        found: T = self._shared[make.__name__]
        return found

    @property
    def model(self) -> Path:
        """A two-layer model with random weights, which is made when it is first needed."""
        folder = self.folder / "model"
        if not folder.exists():
            made = folder.with_name("model.partial")
            make_tiny_model(resolve_model(EMBEDDED_MODEL), made)
            made.rename(folder)
        return folder

    def room(self, name: str) -> "Room":
        """A folder for one trial."""
        room = Room(self, self.folder / name)
        for folder in (room.folder, room.temporary):
            folder.mkdir(parents=True)
        return room

    def reference(self, *arguments: str) -> Ended:
        """The same run without any disturbance, computed once."""
        if arguments not in self._references:
            room = self.room(f"undisturbed-{len(self._references)}")
            ended = room.start(*arguments).end()
            assert ended.status == 0, ended.text
            self._references[arguments] = ended
        return self._references[arguments]


@dataclass(frozen=True)
class Room:
    """The folder of one trial: its runs share a cache, an MLflow store and a folder for temporary files."""

    place: Place
    folder: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def cache(self) -> Path:
        return self.folder / ".bt-cache"

    def start(
        self,
        *arguments: str,
        out: str = "",
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        printed_in: Path | None = None,
    ) -> Running:
        """Start `bt run` of the toy task with more arguments.

        Args:
            arguments: of `bt run`.
            out: name of its folder in the room; empty: a new one.
            environment: more variables.
            before: called in the new process before it becomes `bt`.
            printed_in: folder for what it prints; by default the room.
        """
        name = out or f"run-{uuid.uuid4().hex[:8]}"
        task = ("--task", "tests.core.toy:task", "--model", str(self.place.model), "--set", "select=last")
        return self.bt(("run", *task, *arguments, "--out", name), name, environment, before, printed_in)

    def bt(
        self,
        command: Sequence[str],
        name: str,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        printed_in: Path | None = None,
    ) -> Running:
        """Start any command of `bt` in the room; what it prints goes to a file."""
        mark, printed = uuid.uuid4().hex, (printed_in or self.folder) / f"{name}-{uuid.uuid4().hex[:4]}.txt"
        own = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", CACHE_VARIABLE)}
        variables = {**own, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary), MARK: mark, **(environment or {})}
        with printed.open("wb") as stream:
            process = subprocess.Popen(
                [str(BT), *command],
                cwd=self.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before,
            )
        return Running(self.folder / name, process, mark, printed)


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            if wanted in (folder / "environ").read_bytes().split(b"\0") and not _is_zombie(folder):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(folder.name), re.sub(r"\s+", " ", line)[:120]


def _is_zombie(folder: Path) -> bool:
    return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
