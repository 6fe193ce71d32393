"""The store: objects listed, read and written, whole or not at all, and again where the store fails for a while."""

import hashlib
import io
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from bt_core.errors import DataError
from bt_core.retries import Answer
from bt_core.storage import transfer
from bt_core.storage.addresses import object_location, prefix_location, under
from bt_core.storage.answers import ConditionFailed, aws_errors, code_of, sentence
from bt_core.storage.patience import persist, usual_patience
from bt_core.storage.transfer import StoredObject

#: What a store answers to a write whose condition does not hold, the last two to a request without an answer's body.
FAILED_CONDITION = ("PreconditionFailed", "NoSuchKey", "412", "404")


class Store:
    """S3, or what speaks its protocol.

    Every method raises `DataError` for what the user can mend (address, missing, denied, altered; `MissingObject`
    and `ConditionFailed` are kinds of it) and `WorldError` where the store fails longer than `patience`.
    """

    def __init__(self, client: Any = None, patience: float | None = None) -> None:
        """
        Args:
            client: a boto3 S3 client; by default one from AWS's own environment, made when it is first needed.
            patience: for how many seconds a request is repeated while the store fails or cannot be reached;
                by default `BT_S3_PATIENCE`, else 60. A request under way is not cut off by it.
        """
        self._client = client
        self.patience = usual_patience() if patience is None else patience

    def list(self, prefix: str) -> list[StoredObject]:
        """All objects whose address begins with `prefix`, by address; end a folder's with a slash."""
        location = prefix_location(prefix)
        return self._persist(prefix, "listed", lambda client: transfer.list_all(client, location))

    def list_folder(self, prefix: str, patterns: Sequence[str] = ("*",)) -> dict[str, StoredObject]:
        """Path below the prefix -> object, of those that match one of the shell patterns.

        Raises:
            DataError: also when there is none, or a key would leave the folder.
        """
        base = under(prefix)
        found = {item.address.removeprefix(base): item for item in self.list(base)}
        wanted = {
            relative: item
            for relative, item in found.items()
            if not relative.endswith("/") and any(fnmatch(relative, pattern) for pattern in patterns)
        }
        for relative, item in wanted.items():
            if {"", ".", ".."} & set(relative.split("/")):
                raise DataError(f"{item.address} names no place inside a folder: rename it, or choose another prefix.")
        if not wanted:
            called = "" if "*" in patterns else f" called {' or '.join(patterns)}"
            raise DataError(f"{base} holds no objects{called}: check the address.")
        return wanted

    def read(self, address: str) -> tuple[bytes, StoredObject]:
        """A small object's content, and its etag, by which it can be replaced (`if_match`)."""
        object_location(address)

        def request(client: Any) -> tuple[bytes, StoredObject]:
            content = io.BytesIO()
            found = transfer.receive(client, address, content)
            return content.getvalue(), found

        return self._persist(address, "read", request)

    def read_bytes(self, address: str) -> bytes:
        return self.read(address)[0]

    def download(self, address: str, path: Path) -> StoredObject:
        """Copy an object to a file, which appears when it is whole and verified, or not at all."""
        object_location(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as partial:

            def request(client: Any) -> StoredObject:
                with partial.open("w+b") as file:
                    return transfer.receive(client, address, file)

            found = self._persist(address, "read", request)
            partial.replace(path)
        return found

    def download_folder(self, prefix: str, folder: Path, patterns: Sequence[str] = ("*",)) -> None:
        """Copy what lies under a prefix into a folder, which appears when it is whole.

        A folder that is there by then, made by another process, is left as it is.

        Args:
            prefix: with or without its closing slash.
            folder: where to; not there yet.
            patterns: shell patterns of the wanted paths below the prefix.

        Raises:
            DataError: also when nothing there is wanted.
        """
        found = self.list_folder(prefix, patterns)
        with _beside(folder) as partial:
            for relative, item in found.items():
                self.download(item.address, partial / relative)
            if not folder.exists():
                partial.rename(folder)

    def upload(self, path: Path, address: str, if_absent: bool = False, if_match: str = "") -> str:
        """Write a file as an object, with its sha256, and return its etag.

        Args:
            path: an existing file.
            address: `s3://bucket/key`.
            if_absent: only if there is no such object yet.
            if_match: only if the object there has this etag still.

        Raises:
            ConditionFailed: when the condition did not hold, unless the object there was written with this very
                content (as when an earlier try arrived and its answer was lost).
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._write(path, digest, address, if_absent, if_match)

    def write_bytes(self, data: bytes, address: str, if_absent: bool = False, if_match: str = "") -> str:
        """As `upload`, from memory."""
        return self._write(data, hashlib.sha256(data).hexdigest(), address, if_absent, if_match)

    def upload_folder(self, folder: Path, prefix: str, if_absent: bool = False) -> None:
        """Write every file of a folder under a prefix, by name."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.upload(path, under(prefix, path.relative_to(folder).as_posix()), if_absent)

    def _write(self, source: Path | bytes, digest: str, address: str, if_absent: bool, if_match: str) -> str:
        location = object_location(address)
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": f'"{if_match}"'} if if_match else {}

        def request(client: Any) -> str:
            try:
                return transfer.send(client, source, location, digest, conditions)
            except aws_errors() as error:
                if not conditions or code_of(error) not in FAILED_CONDITION:
                    raise
            return self._written_before(client, address, digest)

        return self._persist(address, "written", request)

    def _written_before(self, client: Any, address: str, digest: str) -> str:
        """The etag of an object that has this content already."""
        try:
            etag = transfer.same_content(client, object_location(address), digest)
        except aws_errors() as error:
            if code_of(error) not in FAILED_CONDITION:
                raise
            etag = ""
        if not etag:
            raise ConditionFailed(f"{address} was changed by another writer: nothing was written; read it again.")
        return etag

    def _persist(self, address: str, verb: str, request: Callable[[Any], Answer]) -> Answer:
        client = self._connected(address, verb)
        return persist(lambda: request(client), address, verb, self.patience)

    def _connected(self, address: str, verb: str) -> Any:
        senseless: tuple[type[Exception], ...] = (ValueError, *aws_errors())  # ValueError: an endpoint that is no URL
        if self._client is None:
            try:
                self._client = transfer.connect()
            except senseless as error:
                raise sentence(address, verb, error) from None
        return self._client


def local_copy(address: str, folder: Path, patterns: Sequence[str] = ("*",), store: Store | None = None) -> Path:
    """Copy a file, or what lies under an address that ends with a slash, into an existing folder.

    Returns:
        `folder/data`, for a file with the key's suffix.

    Raises:
        DataError, WorldError: as `Store` does.
    """
    store = store or Store()
    if address.endswith("/") and prefix_location(address).key:
        path = folder / "data"
        store.download_folder(address, path, patterns)
        return path
    path = folder / f"data{PurePosixPath(object_location(address).key).suffix}"
    store.download(address, path)
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the same folder for what is not whole yet; nothing of that name is left."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
