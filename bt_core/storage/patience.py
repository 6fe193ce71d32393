"""Repeat a request while the store fails: boto3 tries it a few times, this goes on until a time is over."""

import os
from collections.abc import Callable

from bt_core.errors import ConfigError
from bt_core.errors import warn as say
from bt_core.retries import Answer, Pauses, read_seconds, try_again
from bt_core.storage.answers import aws_errors, is_transient, sentence

#: Environment variable: for how many seconds a request is repeated while the store fails.
PATIENCE_VARIABLE = "BT_S3_PATIENCE"
DEFAULT_PATIENCE = 60.0
PAUSES = Pauses(first=0.5, longest=5.0, is_random=True)


def persist(request: Callable[[], Answer], address: str, verb: str, patience: float) -> Answer:
    """Make a request until the store answers or refuses it, or `patience` (seconds) ends.

    Raises:
        DataError: when it is refused; the sentence names `address` and what was to be done with it (`verb`).
        WorldError: when the store fails for longer than `patience`.
    """

    def warn(error: Exception, number: int) -> None:
        if number == 1:
            say(f"{sentence(address, verb, error)} Asking again for up to {patience:g} s.")

    try:
        return try_again(request, is_transient, PAUSES, seconds=patience, warn=warn)
    except aws_errors() as error:
        raise sentence(address, verb, error) from None


def usual_patience() -> float:
    """The patience in seconds, from the environment.

    Raises:
        ConfigError: when the variable holds no number of seconds.
    """
    text = os.environ.get(PATIENCE_VARIABLE) or str(DEFAULT_PATIENCE)
    try:
        return read_seconds(text)
    except ValueError:
        raise ConfigError(f"{PATIENCE_VARIABLE} is {text!r}: give a number of seconds.") from None
