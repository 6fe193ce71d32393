"""Publish a program directory as a bundle, and fetch one."""

import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from bt_core.bundle.card import CARD_FILE, model_card
from bt_core.bundle.manifest import MANIFEST_FILE, Manifest, find_manifest
from bt_core.errors import ProgramError
from bt_core.models import cache_dir
from bt_core.program import PROGRAM_FILE, program_sha256, read_program, write_program
from bt_core.storage import ConditionFailed, Store, is_remote, under


@dataclass(frozen=True)
class Published:
    """Where a program is now. `is_new` is false where this very program was there before."""

    address: str
    program_sha256: str
    files: tuple[str, ...]
    is_new: bool


def publish(program: Path, target: str, store: Store | None = None) -> Published:
    """Write a program as a bundle, whole or not at all; the same one again is left as it is.

    Args:
        program: a program directory.
        target: `s3://bucket/prefix` or a folder.
        store: the default is AWS's environment's.

    Raises:
        ProgramError: when the program is not usable, or the target holds another program or other files.
        DataError, WorldError: when the store refuses or fails.
    """
    state, store = read_program(program), store or Store()
    known = find_manifest(target, store)
    if known is not None:
        if known.program_sha256 != program_sha256(program):
            raise _taken(target, f"the program {known.program_sha256[:12]}")
        return Published(target, known.program_sha256, tuple(known.files), is_new=False)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        write_program(state, bundle, {path: program / path for path in state.adapters})
        shutil.copyfile(program / PROGRAM_FILE, bundle / PROGRAM_FILE)  # the very bytes, by which it is known
        (bundle / CARD_FILE).write_text(model_card(state, bundle, target), encoding="utf-8")
        made = Manifest.of(bundle)
        (bundle / MANIFEST_FILE).write_text(made.dump(), encoding="utf-8")
        (_to_store if is_remote(target) else _to_folder)(bundle, target, store)
    return Published(target, made.program_sha256, tuple(made.files), is_new=True)


def fetch(source: str, cache: Path | None = None, store: Store | None = None) -> Path:
    """A program directory on this machine, verified against its bundle's manifest.

    Args:
        source: a program directory or bundle on this machine, which is returned as it is, or `s3://bucket/prefix`.
        cache: keeps what was fetched, by the program's sha256; by default `programs` in the cache folder.
        store: the default is AWS's environment's.

    Raises:
        ProgramError: when there is no whole bundle, or it is not what its manifest says.
        DataError, WorldError: when the store refuses or fails.
    """
    store = store or Store()
    manifest = find_manifest(source, store)
    if not is_remote(source):
        if manifest is not None:
            manifest.check(Path(source), source)
        return Path(source)
    if manifest is None:
        raise ProgramError(
            f"{source} holds no whole bundle (it has no {MANIFEST_FILE}): publish a program there with `bt publish`."
        )
    folder = (cache or cache_dir() / "programs") / manifest.program_sha256
    if not _is_whole(manifest, folder):
        _download(manifest, source, folder, store)
    return folder


def _to_store(bundle: Path, target: str, store: Store) -> None:
    """The program file first, which claims the prefix, and the manifest last; each only where there is none."""
    names = [path.relative_to(bundle).as_posix() for path in sorted(bundle.rglob("*")) if path.is_file()]
    order = sorted(names, key=lambda name: (name == MANIFEST_FILE, name != PROGRAM_FILE))
    for name in order:
        try:
            store.upload(bundle / name, under(target, name), if_absent=True)
        except ConditionFailed:
            raise _taken(target, f"another {name}") from None


def _to_folder(bundle: Path, target: str, _: Store) -> None:
    folder = Path(target)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    shutil.copytree(bundle, scratch)
    try:
        scratch.rename(folder)  # replaces an empty folder and no other
    except OSError:
        raise _taken(target, "something else") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _taken(target: str, what: str) -> ProgramError:
    return ProgramError(f"{target} already holds {what}: publish to another place, it stays as it is.")


def _is_whole(manifest: Manifest, folder: Path) -> bool:
    try:
        manifest.check(folder, str(folder))
    except ProgramError:
        return False
    return True


def _download(manifest: Manifest, source: str, folder: Path, store: Store) -> None:
    """Copy the files that the manifest names; a folder of that name that is no such copy gives way."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        copy = Path(scratch) / "bundle"
        for name in manifest.files:
            store.download(under(source, name), copy / name)
        manifest.check(copy, source)
        (copy / MANIFEST_FILE).write_text(manifest.dump(), encoding="utf-8")
        if folder.exists() and not _is_whole(manifest, folder):
            folder.rename(Path(scratch) / "damaged")
        if not folder.exists():
            copy.rename(folder)
