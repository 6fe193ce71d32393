"""How far a long stage is: a plain line now and then, which a log keeps and which `bt` shows as a bar on a terminal.

2.w adapter: step 30 of 90, loss 0.4213, 84 s left
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: The variable with the seconds between two lines; `off` for none. On a terminal `bt run` sets it, so that a bar moves.
VARIABLE = "BT_PROGRESS_SECONDS"
OFF = "off"
#: A line is due after so many seconds, or after a tenth of the work that took so many seconds at least.
SECONDS, SHARE, LEAST_SECONDS = 30.0, 0.1, 5.0

_LINE = re.compile(r"(?P<label>.+?): (?P<unit>\w+) (?P<done>\d+) of (?P<total>\d+)(?:, .*)?, (?P<left>\d+) s left")


_under_way: ContextVar[str] = ContextVar("under_way", default="model")


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Within the block, what an engine says of its own progress has this label."""
    token = _under_way.set(label)
    try:
        yield
    finally:
        _under_way.reset(token)


def current_label() -> str:
    """The label of the block that the caller runs in."""
    return _under_way.get()


@dataclass(frozen=True)
class Position:
    """How far something is: `done` of `total` units, and the seconds that are left if it goes on as fast."""

    label: str
    unit: str
    done: int
    total: int
    seconds_left: int

    @classmethod
    def read(cls, line: str) -> "Position | None":
        """What a line says; None for a line of another kind."""
        found = _LINE.fullmatch(line.strip())
        if found is None:
            return None
        label, unit, *numbers = found.group("label", "unit", "done", "total", "left")
        return cls(label, unit, *map(int, numbers))


class Progress:
    """Says how far a piece of work is.

    Args:
        label: of the work, such as `1.p`.
        unit: what is counted, such as `row`.
        total: how many there are.
        done: how many were done before, such as before a checkpoint.
        seconds: between two lines; None: as the variable says, or as in a log.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        label: str,
        unit: str,
        total: int,
        done: int = 0,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._unit, self._total, self._clock = label, unit, total, clock
        self._first = self._told = self._done = done
        self._began = self._when = clock()
        self._seconds = _chosen_seconds() if seconds is None else seconds

    def add(self, count: int) -> None:
        """Count more of the work as done."""
        self.reach(self._done + count)

    def reach(self, done: int, more: str = "", at_once: bool = False) -> None:
        """So much is done by now; a line says so if one is due, or `at_once`, with `more` in it."""
        self._done = done
        if at_once or (done > self._told and self._is_due()):
            self._tell(more)

    def _tell(self, more: str) -> None:
        now = self._clock()
        self._told, self._when = self._done, now
        left = (now - self._began) / max(1, self._done - self._first) * (self._total - self._done)
        parts = (f"{self._label}: {self._unit} {self._done} of {self._total}", more, f"{left:.0f} s left")
        print(", ".join(filter(None, parts)), flush=True)

    def _is_due(self) -> bool:
        if self._seconds == float("inf"):
            return False
        if self._done >= self._total:  # the end of what nothing was said of is told elsewhere
            return self._told > self._first
        passed, share = self._clock() - self._when, (self._done - self._told) / self._total
        return passed >= self._seconds or (passed >= LEAST_SECONDS and share >= SHARE)


def _chosen_seconds() -> float:
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return float("inf")
    try:
        return float(chosen)
    except ValueError:
        return SECONDS
