"""The processes below one, whatever sessions and process groups they have put themselves in."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
#: Requests of Linux's prctl(2).
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """From now on, a process below this one whose parent dies becomes a child of this one, and stays below it."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process when its parent dies, whose id is given since it may have died already."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def below(process: int) -> set[int]:
    """The ids of all processes below one, without those that have ended; empty where there is no /proc.

    A process whose main thread has ended may still be the parent of others, until its other threads have ended too.
    """
    children: dict[int, list[int]] = {}
    ended: set[int] = set()
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has gone meanwhile
            state, parent = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append(int(path.parent.name))
            if state == "Z":
                ended.add(int(path.parent.name))
    found: set[int] = set()
    waiting = [process]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found - ended


def kill_below(process: int, spared: Collection[int] = ()) -> None:
    """Kill the processes that are below one now."""
    for found in below(process) - set(spared):
        with suppress(ProcessLookupError):
            os.kill(found, signal.SIGKILL)


def kill_all_below(process: int, seconds: float) -> None:
    """Kill the processes below one, also those that appear meanwhile, for so long at most.

    The process has to be this one, so that what it has adopted does not stay as a zombie.
    """
    give_up = time.monotonic() + seconds
    while below(process) and time.monotonic() < give_up:
        kill_below(process)
        time.sleep(0.005)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def kill_with_variable(name: str, value: str) -> None:
    """Kill the processes that were started with a value of an environment variable that no other process has."""
    wanted = f"{name}={value}".encode()
    for path in _PROC.glob("[0-9]*/environ"):
        with suppress(OSError):  # it has gone meanwhile, or is another user's
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _prctl(request: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(request, value, 0, 0, 0)
