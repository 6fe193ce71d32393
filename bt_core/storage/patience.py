"""Asking a store again while it fails: boto3 tries a few times, this goes on until a time is over."""

import os
import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bt_core.errors import ConfigError
from bt_core.storage.answers import aws_errors, is_passing, sentence

#: Environment variable: for how many seconds a store that fails is asked again.
PATIENCE_VARIABLE = "BT_S3_PATIENCE"
DEFAULT_PATIENCE = 60.0
#: Pauses between requests to a store that fails, in seconds: doubled from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0

Answer = TypeVar("Answer")


def persist(request: Callable[[], Answer], address: str, verb: str, patience: float) -> Answer:
    """Make a request until it is answered, refused, or `patience` (seconds) ends.

    Raises:
        DataError: when it is refused; the sentence names `address` and what was to be done with it (`verb`).
        WorldError: when the store fails for longer.
    """
    until, pause, warned = time.monotonic() + patience, FIRST_PAUSE, False
    while True:
        try:
            return request()
        except aws_errors() as error:
            failed = sentence(address, verb, error)
            if not is_passing(error) or time.monotonic() + pause > until:
                raise failed from None
        if not warned:
            print(f"warning: {failed} Asking again for up to {patience:g} s.", file=sys.stderr, flush=True)
            warned = True
        time.sleep(pause * random.uniform(0.5, 1.0))  # so that many tasks do not ask at once
        pause = min(2 * pause, LONGEST_PAUSE)


def usual_patience() -> float:
    """Seconds, from the environment.

    Raises:
        ConfigError: when the variable holds no number.
    """
    text = os.environ.get(PATIENCE_VARIABLE) or str(DEFAULT_PATIENCE)
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{PATIENCE_VARIABLE} is {text!r}: give a number of seconds.") from None
