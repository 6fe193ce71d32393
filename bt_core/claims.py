"""A claim on a folder: one process at a time works in it. The claim ends with the process, however that ends.

It is a lock on a file in the folder. The file stays, since a lock on a file that is deleted would be no claim for a
process that has opened it before.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The file that is locked; hidden, since it says nothing to a person.
CLAIM_FILE = ".bt-claim"
#: How often a claim is tried, and seconds between: a process that only asks holds the lock for a moment.
_TRIES, _PAUSE = 5, 0.02


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claim an existing folder for the block; False where another process has claimed it.

    On a file system without locks every claim succeeds.

    Raises:
        OSError: when the file cannot be made.
    """
    file = os.open(folder / CLAIM_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        is_ours = _locked(file)
        for _ in range(_TRIES - 1):
            if not is_ours:
                time.sleep(_PAUSE)
                is_ours = _locked(file)
        yield is_ours
    finally:
        os.close(file)


def is_claimed(folder: Path) -> bool:
    """Whether a living process claims the folder; nothing is written. False where there is no such folder."""
    try:
        file = os.open(folder / CLAIM_FILE, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it belongs to somebody else
        return True
    try:
        return not _locked(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
