"""A time limit for a command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bt_core.errors import ConfigError, WorldError


@contextmanager
def at_most(minutes: float | None) -> Iterator[None]:
    """Leave the block after this many minutes, as after Ctrl-C but with a sentence; None sets no limit.

    Raises:
        ConfigError: when the limit is no usable time.
        WorldError: when the time is up.
    """
    if minutes is None:
        yield
        return
    if not 0.0 < minutes <= 525_600.0:  # a year; NaN fails too
        raise ConfigError(f"--budget is {minutes:g}: give a number of minutes above 0, such as 45.")

    def leave(_: int, __: FrameType | None) -> None:
        raise WorldError(
            f"The budget of {minutes:g} minutes is spent, and the sweep is not finished: the same command goes on"
            " where this one stopped."
        )

    before = signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, 60.0 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
