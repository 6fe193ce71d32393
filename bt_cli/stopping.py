"""End a command at the first signal that asks for it, even where the exception that does so gets lost.

A signal's exception is raised wherever the command happens to be. In a finaliser or a callback Python drops it with a
message, and a library may catch it; therefore it is raised again until it is being handled.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from sys import exc_info
from types import FrameType

#: The signals that ask for an end.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds until the exception is raised again.
PAUSE = 0.2


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A block that the first signal ends, by `KeyboardInterrupt` or `SystemExit`; further ones do not disturb that."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and shells leave it to us
            signal.signal(number, _end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _end(number: int, _: FrameType | None) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)

    def insist(*_: object) -> None:
        if not _is_handled(error):
            raise error

    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    signal.signal(signal.SIGALRM, insist)
    signal.setitimer(signal.ITIMER_REAL, PAUSE, PAUSE)  # of no use to a time limit any more
    raise error


def _is_handled(error: BaseException) -> bool:
    """Whether the interrupted code handles the exception, or one that came of it."""
    handled = exc_info()[1]
    while handled is not None and handled is not error:
        handled = handled.__context__
    return handled is error
