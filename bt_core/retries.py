"""Try again when something fails that may pass: how long to wait between tries, and when to give up.

The caller says which errors are transient, and what a person is told meanwhile. The module is light to import:
tenacity, which does the work and brings asyncio along, is loaded by the first call.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tenacity import RetryCallState

Answer = TypeVar("Answer")
#: The longest time that a setting may ask to wait: thirty days, in seconds.
LONGEST_WAIT = 30 * 86400.0


def read_seconds(text: str) -> float:
    """A time of a setting in seconds, from 0 to `LONGEST_WAIT`.

    Raises:
        ValueError: when the text is no such number; NaN and infinity are none.
    """
    seconds = float(text)
    if not 0.0 <= seconds <= LONGEST_WAIT:
        raise ValueError(text)
    return seconds


@dataclass(frozen=True)
class Pauses:
    """Seconds between tries: the first pause, doubled before each later try, up to the longest.

    `is_random` shortens each pause by up to a half, so that many tasks do not all try at the same time.
    """

    first: float
    longest: float = math.inf
    is_random: bool = False

    def after(self, number: int) -> float:
        """The pause after the try of that number, counted from 1."""
        length = min(self.first * 2.0 ** min(number - 1, 100), self.longest)
        return length * random.uniform(0.5, 1.0) if self.is_random else length


def try_again(
    request: Callable[[], Answer],
    is_transient: Callable[[Exception], bool],
    pauses: Pauses,
    *,
    seconds: float = math.inf,
    tries: int | None = None,
    warn: Callable[[Exception, int], None] = lambda error, number: None,
) -> Answer:
    """Call `request` until it succeeds, fails for good, or the time or the tries are used up.

    Args:
        request: what to do; called without arguments, once at least.
        is_transient: whether an error may pass by itself. Any other error ends the tries.
        pauses: how long to wait between tries.
        seconds: time for all tries and pauses together. The last pause ends when this time does, and one try follows.
            A try that is under way is not cut off.
        tries: how often to try at most; without limit when left out.
        warn: called before each pause with the error and the number of the try that failed, counted from 1.

    Returns:
        What `request` returns.

    Raises:
        Exception: the error of the last try, as `request` raised it.
    """
    import tenacity

    def tell(state: "RetryCallState") -> None:
        error = state.outcome and state.outcome.exception()
        assert isinstance(error, Exception)
        warn(error, state.attempt_number)

    is_last = tenacity.stop_never if tries is None else tenacity.stop_after_attempt(tries)
    controller = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and is_transient(error)),
        wait=lambda state: min(pauses.after(state.attempt_number), max(0.0, seconds - _elapsed(state))),
        stop=tenacity.stop_after_delay(seconds) | is_last,
        before_sleep=tell,
        reraise=True,
    )
    return controller(request)


def _elapsed(state: "RetryCallState") -> float:
    """Seconds since the first try began."""
    return state.seconds_since_start or 0.0
