"""Folders on this machine or on a volume that processes of several users share, such as the cache of base models.

Pods of one cluster may run as different users of one group. The umask (002 in our images, docker/bt_start.pth) lets the
group read and write what a process makes. Some libraries ask for less than it allows: safetensors writes files for
their owner alone (0600), and so does Python for temporary folders. `share` makes up for that.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from bt_core.errors import WorldError


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
