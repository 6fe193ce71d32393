"""The manifest of a bundle: its program, and the size and sha256 of every file."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bt_core.errors import ProgramError
from bt_core.formats.document import Count, OtherSchema, Part, Unreadable, load
from bt_core.formats.paths import InsidePath, inside
from bt_core.json_text import bounded_bytes
from bt_core.program import PROGRAM_FILE, program_sha256
from bt_core.records import canonical_json
from bt_core.storage import MissingObject, Store, is_remote, under

MANIFEST_FILE = "manifest.json"
SCHEMA_VERSION = 1


class EntryPart(Part):
    """The size in bytes and the sha256 of a file."""

    size: Count
    sha256: str


class ManifestFile(Part):
    """The whole file."""

    schema_version: Literal[1]
    program_sha256: str
    files: dict[InsidePath, EntryPart]


@dataclass(frozen=True)
class FileEntry:
    """The size in bytes and the sha256 of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileEntry":
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Manifest:
    """`files`: path in the bundle, with slashes -> size and sha256. The manifest itself is not among them."""

    program_sha256: str
    files: Mapping[str, FileEntry]

    @classmethod
    def of(cls, folder: Path) -> "Manifest":
        """The manifest of all files in a folder."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
        files = {path.relative_to(folder).as_posix(): FileEntry.of(path) for path in paths}
        return cls(program_sha256(folder), files)

    def check(self, folder: Path, address: str) -> None:
        """Compare a copy of the bundle with the manifest.

        Raises:
            ProgramError: when a file is missing, differs, or is a symbolic link out of the folder; the sentence names
                it below `address`.
        """
        for relative, expected in self.files.items():
            path = inside(folder, relative)
            entry = FileEntry.of(path) if path.is_file() else None
            if entry != expected:
                what = "is missing" if entry is None else f"has sha256 {entry.sha256[:12]}"
                raise ProgramError(
                    f"{under(address, relative)} {what}, but the manifest of the bundle names"
                    f" {expected.sha256[:12]}: publish the program to another place."
                )

    def dump(self) -> str:
        return canonical_json({"schema_version": SCHEMA_VERSION, **asdict(self)})


def find_manifest(address: str, store: Store | None = None) -> Manifest | None:
    """The manifest of the bundle at an address, a folder or `s3://bucket/prefix`. None where there is none.

    Raises:
        ProgramError: when the manifest is damaged or of another release.
        DataError, WorldError: when the store refuses or fails.
    """
    if is_remote(address):
        try:
            text = (store or Store()).read_bytes(under(address, MANIFEST_FILE))
        except MissingObject:
            return None
    else:
        folder = Path(address)
        if not (folder / MANIFEST_FILE).is_file():
            return None
        text = bounded_bytes(inside(folder, MANIFEST_FILE))
    return _parsed(text, under(address, MANIFEST_FILE))


def _parsed(text: bytes, address: str) -> Manifest:
    try:
        file = load(ManifestFile, text)
    except OtherSchema as error:
        raise ProgramError(
            f"{address} has schema version {error.version}, this release reads {SCHEMA_VERSION}: use the release that"
            " wrote it."
        ) from None
    except Unreadable as error:
        raise ProgramError(f"{address} is damaged ({error}): publish the program to another place.") from None
    files = {name: FileEntry(entry.size, entry.sha256) for name, entry in file.files.items()}
    program = files.get(PROGRAM_FILE)
    if program is None or program.sha256 != file.program_sha256:
        raise ProgramError(
            f"{address} is damaged (it names another {PROGRAM_FILE} than the bundle's program): publish the program to"
            " another place."
        )
    return Manifest(file.program_sha256, files)
