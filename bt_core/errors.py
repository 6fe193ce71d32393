"""The exception tree, and the place where an exception becomes a sentence and an exit status.

Every error that a user can cause or meet is one sentence: what is wrong, where (file, line, key), and what to do. The
user can correct a `UserError` (exit status 2). A `WorldError` comes from the outside world (exit status 1).
"""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from bt_core.trust.shown_text import visible

#: Marks the sentence in a task's output, so that the process that started the task can find it.
ERROR_MARK = "bt-error"
#: The system's reasons for which a file cannot be written that no program can mend.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
#: How Python begins the text of an error of the system.
_NUMBER = re.compile(r"\[Errno (\d+)\]")


class BtError(Exception):
    """Root of the tree. `str(error)` is the sentence; `exit_status` is the exit status of the process."""

    exit_status = 1


class UserError(BtError, ValueError):
    """An input of the user is wrong, and the user can correct it."""

    exit_status = 2


class WorldError(BtError, RuntimeError):
    """Something outside this program failed: an engine, a disk, a server."""

    exit_status = 1


class ConfigError(UserError):
    """A configuration, strategy or command-line value is wrong. The sentence names all mistakes at once."""


class TaskError(UserError):
    """A task cannot be imported or is incomplete, or its metric returns no valid score."""


class DataError(UserError):
    """Rows are missing, malformed, duplicated across splits, or too few."""


class ModelError(UserError):
    """A model id or folder cannot be loaded."""


class ProgramError(UserError):
    """A program directory is damaged, or belongs to another program, base model or schema."""


class EngineError(WorldError):
    """The inference engine failed. The task stops, since the failure of a system is no result."""


class TrainingError(WorldError):
    """Fine-tuning failed, for example with a loss that is not a number."""


class TrackingError(WorldError):
    """The tracking server could not be reached or refused; the step's result is already on disk."""


def first_line(error: BaseException) -> str:
    """The first line of a library's error message; the name of the error's class where the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def disk_error(error: OSError) -> WorldError | None:
    """The error about a disk that takes no more, by its file or quota, or nothing at all; None for another error."""
    if isinstance(error, shutil.Error):
        error = _first_of(error)
    if error.errno not in _DISK:
        return None
    remedy = "use another disk" if error.errno == errno.EROFS else "make room"
    where, reason = error.filename or "A file", error.strerror
    return WorldError(f"{where} cannot be written ({reason}): {remedy}, then run the command again.")


def _first_of(error: shutil.Error) -> OSError:
    """The first error about the disk among those of a copied folder, each a source, a target, and a text."""
    for _, target, text in error.args[0] if isinstance(error.args[0], list) else []:
        number = _NUMBER.match(text)
        if number and int(number[1]) in _DISK:
            return OSError(int(number[1]), os.strerror(int(number[1])), target)
    return error


def warn(sentence: str) -> None:
    """Say on stderr what goes wrong without ending the run."""
    print(f"warning: {visible(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn a `BtError` inside the block, or a disk that takes no more, into its sentence on stderr and its exit status.

    Any other exception is a bug of ours and keeps its traceback.

    Raises:
        SystemExit: with status 2 or 1, when the block raised a `BtError`.
    """
    try:
        yield
    except BtError as error:
        _end(error)
    except OSError as error:
        full = disk_error(error)
        if full is None:
            raise
        _end(full)


def _end(error: BtError) -> NoReturn:
    print(f"{ERROR_MARK} {error.exit_status}: {visible(' '.join(str(error).split()))}", file=sys.stderr, flush=True)
    raise SystemExit(error.exit_status) from None
