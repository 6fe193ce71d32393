"""Ends the first process of every task of a warm local run while it is at work, as a cluster does with a pod."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from bt_runner.events import Event, TaskOutput

#: How long a pod has to end after SIGTERM, by Kubernetes' default.
GRACE_SECONDS = 30.0
#: After so long a process is at work, and only a task that takes no time is done.
HEAD_START_SECONDS = 0.05


class Preemption:
    """Within its block, ends the first process of every task by SIGTERM.

    It goes by the processes alone, since the run's events arrive later than processes come and go. Tasks run one after
    another, so the process that follows one that was ended is the second of the same task.

    Attributes:
        ended: the label of a task for every process that was ended, as the run itself tells.
        kills: how many processes were ended while they were at work.
        late: how many of them outlasted the grace period.
    """

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.kills = 0
        self.late = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, event: Event) -> None:
        """Take in an event of the run."""
        if isinstance(event, TaskOutput) and event.line == signal.strsignal(signal.SIGTERM):
            self.ended.append(event.label)

    def _watch(self) -> None:
        seen: set[int] = set()
        is_second = False
        while not self._over.wait(0.005):
            for process in set(_tasks()) - seen:
                seen.add(process)
                is_second = not is_second and self._end(process)

    def _end(self, process: int) -> bool:
        """End the process and wait until it is gone; False where it was done before."""
        time.sleep(HEAD_START_SECONDS)
        is_at_work = False
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)  # or it might report its end between the check and the signal
            while _state(process) in ("R", "S", "D"):
                time.sleep(0.001)
            is_at_work = not _has_reported(process)
            if is_at_work:
                os.kill(process, signal.SIGTERM)
            os.kill(process, signal.SIGCONT)
        if is_at_work:
            self.kills += 1
            until = time.monotonic() + GRACE_SECONDS
            while _state(process) not in ("", "Z") and time.monotonic() < until:
                time.sleep(0.01)
            self.late += _state(process) not in ("", "Z")
        return is_at_work


def _tasks() -> list[int]:
    """The processes that run a task: below this one are guard, worker, task server, the task's supervisor, the task."""
    generation = [os.getpid()]
    for _ in ("guard", "worker", "server", "supervisor", "task"):
        generation = [child for parent in generation for child in _children(parent)]
    return [pid for pid in generation if "bt_runner.task_server" in _read(pid, "cmdline")]


def _children(pid: int) -> list[int]:
    try:
        found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has gone
        return []
    return [int(child) for children in found for child in children]


def _has_reported(pid: int) -> bool:
    """Whether a task has reported its end or is about to: just before that it lets go of its output.

    Such a process can be there for a second more, with all its memory, while the next task is under way.
    """
    try:
        return Path(f"/proc/{pid}/fd/1").readlink() == Path(os.devnull)
    except OSError:
        return True


def _state(pid: int) -> str:
    """The letter of the process's state; empty where there is no such process."""
    return _read(pid, "stat").rpartition(")")[2].strip()[:1]


def _read(pid: int, name: str) -> str:
    """A file of a process; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
