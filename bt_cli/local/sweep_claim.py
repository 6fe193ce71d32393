"""A sweep's plan allows one extension: the folder of the first look names the folder of the second."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bt_cli.options.sweep import FirstLook
from bt_cli.run_folder import SweepFolder
from bt_core.errors import ConfigError
from bt_core.formats.document import Part, Unreadable, load
from bt_core.json_text import bounded_bytes
from bt_core.records import canonical_json


class Extension(Part):
    """extension.json in the folder of a first look."""

    #: The folder of the second look.
    out: str


def check_unclaimed(first: SweepFolder, second: SweepFolder) -> None:
    """Refuse another extension than the one that has begun.

    Raises:
        ConfigError: names the folder of the one that has.
    """
    if not first.extension.exists():
        return
    taken = _taken_by(first.extension)
    if taken != str(second.path):
        raise ConfigError(
            f"The sweep in {first.path} has been extended once, as it was planned, in {taken}: go on there (--out), or"
            " test on rows that no look has seen (docs/sweep.md)."
        )


@contextmanager
def claimed(look: FirstLook | None, second: SweepFolder) -> Iterator[None]:
    """Note in the first look's folder, for the block and after it, that the second look has begun.

    Where the block is the second look's first attempt and fails before a test row was scored, such as for want of rows,
    nothing was looked at, and the note is taken back. Without a first look this does nothing.

    Raises:
        ConfigError: when another extension has begun.
    """
    if look is None:
        yield
        return
    first = look.folder
    is_new = _claim(first, second)
    try:
        yield
    except BaseException:
        if is_new and not second.has_scored:
            first.extension.unlink()
        raise


def _claim(first: SweepFolder, second: SweepFolder) -> bool:
    """Make the file, which of several processes only one can; False where the same extension had made it before."""
    try:
        with first.extension.open("x", encoding="utf-8") as file:
            file.write(canonical_json(Extension(out=str(second.path)).content()))
    except FileExistsError:
        check_unclaimed(first, second)
        return False
    return True


def _taken_by(extension: Path) -> str:
    try:
        return load(Extension, bounded_bytes(extension)).out
    except (Unreadable, OSError):
        return f"another folder ({extension.name} cannot be read)"
