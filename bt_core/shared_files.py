"""Folders on this machine or on a volume that processes of several users share, such as the cache of base models.

Pods of one cluster may run as different users of one group. The umask (002 in our images, docker/bt_start.pth) lets the
group read and write what a process makes. Some libraries ask for less than it allows: safetensors writes files for
their owner alone (0600), and so does Python for temporary folders. `share` makes up for that.

One process at a time works in the folder of a run: it has the claim on it, which ends with the process, however that
ends. The claim is a lock on a file in the folder. The file stays, since a lock on a file that is deleted would be no
claim for a process that has opened it before.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bt_core.errors import WorldError

#: Rights in an exchange folder on a shared volume: what is made in a folder belongs to the folder's group.
_SHARED_FOLDER, _SHARED_FILE = 0o2775, 0o664
#: The file that is locked by a claim; hidden, since it says nothing to a person.
CLAIM_FILE = ".bt-claim"
#: How often a claim is tried, and seconds between: a process that only asks holds the lock for a moment.
_TRIES, _PAUSE = 5, 0.02


def cache_dir() -> Path:
    """The folder in which converted models are kept: `BT_CACHE`, or else the user's cache folder."""
    root = (
        os.environ.get("BT_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bettertogether"
    )
    return Path(root)


def make_folder(folder: Path) -> Path:
    """Make a folder of the cache where it is missing, and return it.

    Raises:
        WorldError: when it cannot be made, on a read-only disk for example.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(
            f"The folder {folder} cannot be made ({error.strerror}): set BT_CACHE to one that can be written."
        ) from None
    return folder


def share(folder: Path) -> None:
    """Give a folder of ours, and everything in it, the rights that the umask leaves to a new folder or file."""
    probe = folder / ".rights"
    probe.mkdir()  # to ask for the umask itself would change it for other threads for a moment
    allowed = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    for path in (folder, *folder.rglob("*")):
        rights = stat.S_IMODE(path.stat().st_mode)
        wanted = rights | (allowed if path.is_dir() else allowed & 0o666)
        if wanted != rights:  # not every file system of a cluster lets rights be set
            path.chmod(wanted)


def share_with_group(folder: Path) -> None:
    """Let the group of an exchange folder read and write all that is ours in it, whatever the umask says.

    A training may be handed over from a machine with a umask of its own, and its pods may have different users, but
    they are all in group 0.
    """
    for place, folders, files in os.walk(folder):
        rights = {place: _SHARED_FOLDER} | {f"{place}/{name}": _SHARED_FILE for name in files}
        rights |= {f"{place}/{name}": _SHARED_FOLDER for name in folders}
        for path, mode in rights.items():
            with suppress(OSError):  # it belongs to another user, who has shared it, or is gone
                Path(path).chmod(mode)


def unreadable(folder: Path, patterns: Sequence[str]) -> Path | None:
    """The folder, or a file in it that matches a shell pattern, which this process has no right to read.

    Returns:
        The first of them; None where it may read all.
    """
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        return folder
    files = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return next((path for path in files if not os.access(path, os.R_OK, effective_ids=True)), None)


def grant(path: Path) -> str:
    """The end of the sentence about a path that this process has no right to read."""
    return (
        f"cannot be read by user {os.geteuid()}, permission denied: let its owner run"
        f" `chmod -R g+rwX {path if path.is_dir() else path.parent}`, or delete it"
    )


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
