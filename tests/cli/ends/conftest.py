"""A `bt run` on the tiny model that a test ends in the middle, and what is left of it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_runner.ends.processes import below
from tests.core import conftest as core

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[3]
#: So many processes train, and so long that no test waits for their end.
LONG = ("w.epochs=10000", "w.processes=2")
SHORT = ("w.epochs=1",)
#: Seconds in which everything has to be gone.
LIMIT = 2.0


@dataclass
class Started:
    """A `bt` process and what was below it when a test looked."""

    process: "subprocess.Popen[str]"
    folder: Path
    temporary: Path
    seen: set[int] = field(default_factory=set)
    ended: float = 0.0

    def wait_for(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < give_up
            time.sleep(0.05)

    def named(self, part: str) -> list[int]:
        """The processes below `bt` whose command line has this part."""
        return [pid for pid in below(self.process.pid) if part in _command(pid)]

    def trains(self) -> bool:
        """Whether both processes of the training are at work."""
        return len(self.named("bt_core.engine.training.worker")) >= 3  # with torch's launcher above them

    def send(self, number: signal.Signals, pid: int = 0) -> None:
        """Send a signal to `bt`, or to one process of it."""
        self.seen = below(self.process.pid) | {self.process.pid}
        self.ended = time.monotonic() + LIMIT
        os.kill(pid or self.process.pid, number)

    def left(self) -> list[str]:
        """The processes of those that were seen which are there after two seconds."""
        while (alive := [pid for pid in self.seen if _is_alive(pid)]) and time.monotonic() < self.ended:
            time.sleep(0.02)
        return [_command(pid) for pid in alive]

    def err(self) -> str:
        return self.process.communicate(timeout=60)[1]

    @property
    def statuses(self) -> dict[str, str]:
        """The stage and status of every run in MLflow; of several with one stage, the last."""
        return dict(self._staged)

    @property
    def all_statuses(self) -> list[str]:
        """The status of every run in MLflow."""
        return [status for _, status in self._staged]

    @property
    def _staged(self) -> list[tuple[str, str]]:
        found = "SELECT t.value, r.status FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = 'stage'"
        with closing(sqlite3.connect(self.folder.parent / "mlflow.db")) as database:
            return database.execute(f"{found} AND r.lifecycle_stage = 'active'").fetchall()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals are not ignored: a shell that starts the tests in the background leaves SIGINT so, to `bt` too."""
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


Start = Callable[..., Started]


@pytest.fixture
def start(tiny_folder: Path, tmp_path: Path, heard: None) -> Iterator[Start]:
    """Start `bt run --strategy w` with settings, in an empty temporary folder of its own."""
    processes = []

    def begin(settings: Sequence[str] = LONG, *more: str, out: str = "run") -> Started:
        temporary = tmp_path / "tmp"
        temporary.mkdir(exist_ok=True)
        chosen = ("w.min_traces=1", "w.rank=2", "select=last", *settings)
        named = ["--task", "tests.core.toy:task", "--strategy", "w", "--model", str(tiny_folder), "--out", out]
        command = [str(BT), "run", *named, *[part for one in chosen for part in ("--set", one)], *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), CACHE_VARIABLE: "", "TMPDIR": str(temporary)}
        environment.pop("MLFLOW_TRACKING_URI", None)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        processes.append(process)
        return Started(process, tmp_path / out, temporary)

    yield begin
    for process in processes:
        process.kill()
        process.communicate()
