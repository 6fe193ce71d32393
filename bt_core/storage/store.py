"""The store: lists, reads and writes objects, whole or not at all, and retries while the store fails."""

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

#: Error codes of a write whose condition does not hold; the last two are of answers without a body.
FAILED_CONDITION = ("PreconditionFailed", "NoSuchKey", "412", "404")


class Store:
    """S3, or another store that speaks its protocol.

    Every method raises `DataError` where the user can help (a wrong address; a missing, denied or altered object;
    `MissingObject` and `ConditionFailed` are kinds of it), and `WorldError` when the store fails for longer than
    `patience`.
    """

    def __init__(self, client: Any = None, patience: float | None = None) -> None:
        """
        Args:
            client: a boto3 S3 client; by default one from AWS's own environment, created when it is first needed.
            patience: for how many seconds a request is repeated while the store fails or cannot be reached; by default
                `BT_S3_PATIENCE`, or else 60. A request that is under way is not cut off.
        """
        self._client = client
        self.patience = usual_patience() if patience is None else patience

    def list(self, prefix: str) -> list[StoredObject]:
        """All objects whose address begins with `prefix`, in order. End a folder's prefix with a slash."""
        location = prefix_location(prefix)
        return self._persist(prefix, "listed", lambda client: transfer.list_all(client, location))

    def list_folder(self, prefix: str, patterns: Sequence[str] = ("*",)) -> dict[str, StoredObject]:
        """Path below the prefix -> object, for the objects that match one of the shell patterns.

        Raises:
            DataError: also when no object matches, or a key would leave the folder.
        """
        base = under(prefix)
        objects = {item.address.removeprefix(base): item for item in self.list(base)}
        matching = {
            relative: item
            for relative, item in objects.items()
            if not relative.endswith("/") and any(fnmatch(relative, pattern) for pattern in patterns)
        }
        for relative, item in matching.items():
            if {"", ".", ".."} & set(relative.split("/")):
                raise DataError(f"{item.address} names no place inside a folder: rename it, or choose another prefix.")
        if not matching:
            called = "" if "*" in patterns else f" called {' or '.join(patterns)}"
            raise DataError(f"{base} holds no objects{called}: check the address.")
        return matching

    def read(self, address: str) -> tuple[bytes, StoredObject]:
        """The content of a small object, and its description, whose etag serves to replace it (`if_match`)."""
        object_location(address)

        def request(client: Any) -> tuple[bytes, StoredObject]:
            content = io.BytesIO()
            described = transfer.receive(client, address, content)
            return content.getvalue(), described

        return self._persist(address, "read", request)

    def read_bytes(self, address: str) -> bytes:
        return self.read(address)[0]

    def download(self, address: str, path: Path) -> StoredObject:
        """Copy an object to a file, which appears only when it is complete and verified."""
        object_location(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as partial:

            def request(client: Any) -> StoredObject:
                with partial.open("w+b") as file:
                    return transfer.receive(client, address, file)

            described = self._persist(address, "read", request)
            partial.replace(path)
        return described

    def download_folder(self, prefix: str, folder: Path, patterns: Sequence[str] = ("*",)) -> None:
        """Copy the objects under a prefix into a folder, which appears only when it is complete.

        If another process has created the folder meanwhile, that folder is kept.

        Args:
            prefix: with or without its closing slash.
            folder: the folder to create.
            patterns: shell patterns of the paths below the prefix that are copied.

        Raises:
            DataError: also when no object matches.
        """
        objects = self.list_folder(prefix, patterns)
        with _beside(folder) as partial:
            for relative, item in objects.items():
                self.download(item.address, partial / relative)
            if not folder.exists():
                partial.rename(folder)

    def upload(self, path: Path, address: str, if_absent: bool = False, if_match: str = "") -> str:
        """Write a file as an object, with its sha256, and return its etag.

        Args:
            path: an existing file.
            address: `s3://bucket/key`.
            if_absent: write only if there is no such object yet.
            if_match: write only if the object still has this etag.

        Raises:
            ConditionFailed: when the condition did not hold, unless the object was written with this same content,
                as when an earlier try succeeded and its answer was lost.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._write(path, digest, address, if_absent, if_match)

    def write_bytes(self, data: bytes, address: str, if_absent: bool = False, if_match: str = "") -> str:
        """As `upload`, with content from memory."""
        return self._write(data, hashlib.sha256(data).hexdigest(), address, if_absent, if_match)

    def is_ours(self, address: str) -> bool:
        """Whether an object was written by a store of this class, which gives each its sha256."""
        location = object_location(address)
        return self._persist(address, "read", lambda client: transfer.is_ours(client, location))

    def upload_folder(self, folder: Path, prefix: str, if_absent: bool = False) -> None:
        """Write every file of a folder under a prefix, in the order of their names."""
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
        """The etag of the object, if it has this content already; otherwise the condition has failed."""
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
        errors: tuple[type[Exception], ...] = (ValueError, *aws_errors())  # ValueError: an endpoint that is no URL
        if self._client is None:
            try:
                self._client = transfer.connect()
            except errors as error:
                raise sentence(address, verb, error) from None
        return self._client


def local_copy(address: str, folder: Path, patterns: Sequence[str] = ("*",), store: Store | None = None) -> Path:
    """Copy an object, or all objects under an address that ends with a slash, into an existing folder.

    Returns:
        `folder/data`; for a single object, with the suffix of its key.

    Raises:
        DataError, WorldError: as `Store` raises them.
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
    """A path in the same folder for incomplete content. Whatever is left there is deleted afterwards."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
