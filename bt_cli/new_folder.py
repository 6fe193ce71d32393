"""The claim on the folder of a run: it belongs to one process, and holds one run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from bt_cli.run_folder import RunFolder
from bt_core.errors import ConfigError, UserError
from bt_core.shared_files import CLAIM_FILE, claimed, is_claimed


@contextmanager
def new_folder(out: Path | None, default: Path, arguments: str = "") -> Iterator[RunFolder]:
    """Make the folder of a run, and claim it for the block. It is removed again where nothing came of a mistake.

    Args:
        out: the folder that the user named; None: the default one, with a number behind its name where it is taken.
        default: as `default_folder` gives it.
        arguments: what is to be run, as text. A folder with an unfinished run of the same is used again, without the
            outputs of that run's tasks. Empty: no folder is.

    Raises:
        ConfigError: when the folder is not empty, since a run never overwrites another one, or another process has
            claimed it.
    """
    made = [place for place in (out or default).parents if not place.exists()]
    is_new = out is None or not out.exists()
    if out:
        if not is_claimed(out):
            _check_new(out, arguments)
        out.mkdir(parents=True, exist_ok=True)
    path = out or _made(default)
    with claimed_folder(path, f"The --out folder {path} is in use by another process: name another one."):
        _check_new(path, arguments)  # again, now that nobody else fills it
        folder = RunFolder(path.resolve())
        folder.discard()
        if arguments:
            folder.arguments.write_text(arguments, encoding="utf-8")
        try:
            yield folder
        except UserError:
            if not folder.artifacts.exists():  # no task has ended
                folder.discard()
                _remove([path, *made] if is_new else [])
            raise


def _remove(folders: Sequence[Path]) -> None:
    """Remove the folder of a run, which holds nothing but its claim, and those above it that were made for it."""
    for place in folders:
        (place / CLAIM_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # somebody has put something into it
            place.rmdir()


@contextmanager
def claimed_folder(path: Path, refusal: str) -> Iterator[None]:
    """Claim an existing folder for the block.

    Raises:
        ConfigError: the refusal, when another process has claimed it.
    """
    with claimed(path) as is_ours:
        if not is_ours:
            raise ConfigError(refusal)
        yield


def _made(default: Path) -> Path:
    """A folder that this process alone has made: two runs may begin in one second."""
    for number in count(1):
        path = default if number == 1 else default.with_name(f"{default.name}-{number}")
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("numbers do not end")


def _check_new(path: Path, arguments: str) -> None:
    first, folder = first_entry(path), RunFolder(path)
    if first is not None and not folder.is_unfinished(arguments):
        holds = "already holds a run" if folder.result.exists() or folder.pipeline.exists() else "is not empty"
        raise ConfigError(f"The --out folder {path} {holds} ({first.name}): name another one, nothing was written.")


def first_entry(path: Path) -> Path | None:
    """Any entry of the folder but its claim; None where it has none or does not exist.

    Raises:
        ConfigError: when the path is a file, or Kubeflow would take a part of it for a placeholder.
    """
    if "{{$" in str(path.absolute()):
        raise ConfigError("The --out folder's path holds `{{$`, which begins a placeholder of Kubeflow: name another.")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out {path} is a file: name a folder that does not exist yet.")
    return next((entry for entry in path.iterdir() if entry.name != CLAIM_FILE), None) if path.is_dir() else None
