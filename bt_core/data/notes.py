"""Sentences about what was read otherwise than a user may expect, such as a file that was left unread."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bt_core.errors import DataError, warn

_COLLECTED: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(sentence: str) -> None:
    """Say the sentence: to the block of `collected_notes` that we are in, or else on stderr."""
    collected = _COLLECTED.get()
    if collected is None:
        warn(sentence)
    elif sentence not in collected:
        collected.append(sentence)


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Collect the sentences that are said within the block, each once.

    A loader that a user wrote calls our readers, so the sentences cannot travel in return values.
    """
    collected: list[str] = []
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)


@contextmanager
def naming(copy: str, address: str) -> Iterator[None]:
    """Within the block, name the address that a file was copied from, not the copy, which is deleted by then.

    Raises:
        DataError: that of the block, with the address in it.
    """
    try:
        with collected_notes() as notes:
            yield
    except DataError as error:
        raise DataError(str(error).replace(copy, address)) from None
    for sentence in notes:
        note(sentence.replace(copy, address))
