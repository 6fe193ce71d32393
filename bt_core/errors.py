"""The one exception tree, and the one place where an exception becomes a sentence and an exit status.

Every error that a person can cause or meet is one sentence: what is wrong, where (file, line, key) and
what to do. `UserError` is the user's to mend (exit status 2), `WorldError` is the world's (exit status 1).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Marks the sentence in a task's output, so that whoever started the task can find it again.
ERROR_MARK = "bt-error"


class BtError(Exception):
    """Root of the tree. `str(error)` is the sentence; `exit_status` is the process's."""

    exit_status = 1


class UserError(BtError, ValueError):
    """Something the user gave is wrong and the user can mend it."""

    exit_status = 2


class WorldError(BtError, RuntimeError):
    """Something around us failed: an engine, a disk, a server."""

    exit_status = 1


class ConfigError(UserError):
    """A configuration, strategy or command-line value is wrong. Names all mistakes at once."""


class TaskError(UserError):
    """A task cannot be imported or is not complete, or its metric answers nonsense."""


class DataError(UserError):
    """Rows are missing, malformed, duplicated across splits, or too few."""


class ModelError(UserError):
    """A model id or folder cannot be loaded."""


class ProgramError(UserError):
    """A program directory is damaged, or belongs to another program, base model or schema."""


class EngineError(WorldError):
    """The inference engine failed; the task stops, since a failed system is no data."""


class TrainingError(WorldError):
    """Fine-tuning failed (a loss that is not a number, for example)."""


class TrackingError(WorldError):
    """The tracking server could not be reached; the step's result is already on disk."""


def first_line(error: BaseException) -> str:
    """What a library says is wrong, less the lines below the first; the error's kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def warn(sentence: str) -> None:
    """Say on stderr what goes wrong without ending the run."""
    print(f"warning: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn a `BtError` inside the block into its sentence on stderr and its exit status.

    Anything else is a bug of ours and keeps its traceback.

    Raises:
        SystemExit: with status 2 or 1, when the block raised a `BtError`.
    """
    try:
        yield
    except BtError as error:
        print(f"{ERROR_MARK} {error.exit_status}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_status) from None
