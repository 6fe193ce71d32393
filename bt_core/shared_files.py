"""Folders on this machine or on a volume that processes of several users share, such as the cache of base models.

Pods of one cluster may run as different users of one group. The umask (002 in our images, docker/bt_start.pth) lets the
group read and write what a process makes. Some libraries ask for less than it allows: safetensors writes files for
their owner alone (0600), and so does Python for temporary folders. `share` makes up for that.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bt_core.errors import WorldError

#: Rights in an exchange folder on a shared volume: what is made in a folder belongs to the folder's group.
_SHARED_FOLDER, _SHARED_FILE = 0o2775, 0o664


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
