"""Publish a program directory as a bundle, and fetch one."""

import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bt_core.bundle.card import CARD_FILE, model_card
from bt_core.bundle.manifest import MANIFEST_FILE, Manifest, find_manifest
from bt_core.bundle.run_score import run_score
from bt_core.bundle.scratch import scratch_folder
from bt_core.errors import ProgramError, warn
from bt_core.program import PROGRAM_FILE, program_sha256, read_program, write_program
from bt_core.shared_files import cache_dir
from bt_core.storage import ConditionFailed, Store, StoredObject, is_remote, under

#: After so many seconds in which nothing was written, a publication without a manifest counts as given up. A single
#: file takes less.
ABANDONED_SECONDS = 900


@dataclass(frozen=True)
class Published:
    """A published program. `is_new` is false where the same program had been published there before."""

    address: str
    program_sha256: str
    files: tuple[str, ...]
    is_new: bool


def publish(program: Path, target: str, store: Store | None = None) -> Published:
    """Write a program as a bundle, whole or not at all. If the bundle exists already, nothing changes.

    A bundle in S3 that was left unfinished is completed, or replaced where it was of another program.

    Args:
        program: a program directory.
        target: `s3://bucket/prefix` or a folder.
        store: the store to use; by default the one of AWS's environment.

    Raises:
        ProgramError: when the program is damaged, or the target holds another program or other files.
        DataError, WorldError: when the store refuses or fails.
    """
    state, store = read_program(program), store or Store()
    existing = find_manifest(target, store)
    if existing is not None:
        if existing.program_sha256 != program_sha256(program):
            raise _taken(target, f"the program {existing.program_sha256[:12]}")
        return Published(target, existing.program_sha256, tuple(existing.files), is_new=False)
    with scratch_folder() as scratch:
        bundle = scratch / "bundle"
        write_program(state, bundle, {path: program / path for path in state.adapters})
        shutil.copyfile(program / PROGRAM_FILE, bundle / PROGRAM_FILE)  # the same bytes, which identify the program
        (bundle / CARD_FILE).write_text(model_card(state, bundle, target, run_score(program)), encoding="utf-8")
        manifest = Manifest.of(bundle)
        (bundle / MANIFEST_FILE).write_text(manifest.dump(), encoding="utf-8")
        (_to_store if is_remote(target) else _to_folder)(bundle, target, store)
    return Published(target, manifest.program_sha256, tuple(manifest.files), is_new=True)


def fetch(source: str, cache: Path | None = None, store: Store | None = None) -> Path:
    """A program directory on this machine, verified against the manifest of its bundle.

    Args:
        source: `s3://bucket/prefix`, or a program directory or bundle on this machine, which is returned as it is.
        cache: folder for fetched programs, by their sha256; by default `programs` in the cache folder.
        store: the store to use; by default the one of AWS's environment.

    Raises:
        ProgramError: when there is no complete bundle, or a file differs from the manifest.
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
    """Write the program file first, which claims the prefix, and the manifest last; each only if it does not exist.

    What another publication has left without a manifest is replaced when nothing was written there for a while. The
    manifest is not written when somebody else has replaced a file of ours since.
    """
    names = [path.relative_to(bundle).as_posix() for path in sorted(bundle.rglob("*")) if path.is_file()]
    order = sorted(names, key=lambda name: (name == MANIFEST_FILE, name != PROGRAM_FILE))
    written: dict[str, str] = {}
    left: dict[str, StoredObject] | None = None
    for name in order:
        address = under(target, name)
        if left is not None and name == MANIFEST_FILE:
            _check_unchanged(target, store, written)
        try:
            written[address] = store.upload(bundle / name, address, if_absent=True)
        except ConditionFailed:
            if left is None:
                left = _leftovers(target, store, set(written))
            if name == MANIFEST_FILE or address not in left or not store.is_ours(address):
                raise _taken(target, f"another {name}") from None
            written[address] = _replace(bundle / name, left[address], target, store)


def _leftovers(target: str, store: Store, written: set[str]) -> dict[str, StoredObject]:
    """The files of a publication that nobody finishes any more; empty while somebody may.

    Args:
        target: the prefix, which had no manifest.
        store: the store.
        written: the addresses of our own files, as far as they are there.
    """
    others = {item.address: item for item in store.list(under(target)) if item.address not in written}
    if (
        under(target, MANIFEST_FILE) in others
        or min((item.age for item in others.values()), default=0.0) < ABANDONED_SECONDS
    ):
        return {}
    warn(f"{target} holds a part of another publication, which was never finished: its files are replaced.")
    return others


def _replace(path: Path, left: StoredObject, target: str, store: Store) -> str:
    try:
        return store.upload(path, left.address, if_match=left.etag)
    except ConditionFailed:
        raise _taken(target, f"another {path.name}") from None


def _check_unchanged(target: str, store: Store, written: Mapping[str, str]) -> None:
    now = {item.address: item.etag for item in store.list(under(target))}
    for address, etag in written.items():
        if now.get(address) != etag:
            raise _taken(target, f"another {address.removeprefix(under(target))}")


def _to_folder(bundle: Path, target: str, _: Store) -> None:
    folder = Path(target)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    shutil.copytree(bundle, scratch)
    try:
        scratch.rename(folder)  # replaces an empty folder, but no other
    except OSError:
        raise _taken(target, "something else") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _taken(target: str, what: str) -> ProgramError:
    return ProgramError(
        f"{target} already holds {what}: publish to another place, it stays as it is; only a publication that was not"
        f" finished can be replaced, {ABANDONED_SECONDS // 60} minutes after its last file was written."
    )


def _is_whole(manifest: Manifest, folder: Path) -> bool:
    try:
        manifest.check(folder, str(folder))
    except ProgramError:
        return False
    return True


def _download(manifest: Manifest, source: str, folder: Path, store: Store) -> None:
    """Copy the files that the manifest names. An existing folder that differs from the manifest is replaced."""
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
