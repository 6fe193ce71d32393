"""One request, or one object in parts: sent, received and verified once. Who asks again is `Store`."""

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.storage.addresses import SCHEME, Location, object_location
from bt_core.storage.answers import altered, no_store

#: Larger objects travel in parts, several at once (bytes; the size of a part in boto3).
PART = 8 << 20
#: Object metadata that holds the content's sha256.
DIGEST = "sha256"
CONNECT_SECONDS, READ_SECONDS = 5, 30

Buffer = io.BytesIO | io.BufferedRandom


@dataclass(frozen=True)
class StoredObject:
    """What a store says of an object. `etag` is the store's name for this content, quotes left off."""

    address: str
    size: int
    etag: str


def connect() -> Any:
    """A client from AWS's own environment; it makes a request three times, or as often as `AWS_MAX_ATTEMPTS` says."""
    from boto3 import Session
    from botocore.config import Config

    timeouts = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    return Session().client("s3", config=Config(retries={"mode": "standard"}, **timeouts))


def list_all(client: Any, location: Location) -> list[StoredObject]:
    """Every object whose key begins with the location's.

    Raises:
        DataError: when the answer is none of a store's.
        Exception: one of `aws_errors`.
    """
    bucket = f"{SCHEME}{location.bucket}/"
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key):
        if "Name" not in page:
            raise no_store(bucket + location.key)
        found += [_described(bucket + item["Key"], item["Size"], item) for item in page.get("Contents", ())]
    return found


def receive(client: Any, address: str, file: Buffer) -> StoredObject:
    """Write an object's content to the beginning of an empty file that can be read too.

    The checksum that the store keeps is verified by boto3 where the content comes whole, and in any case our own
    sha256 where there is one.

    Raises:
        DataError: when the content is not what was written.
        Exception: one of `aws_errors`.
    """
    location = object_location(address)
    answer = client.get_object(Bucket=location.bucket, Key=location.key)
    found = _described(address, answer["ContentLength"], answer)
    if found.size > PART:
        answer["Body"].close()
        _receive_parts(client, location, found, file)
    else:
        shutil.copyfileobj(answer["Body"], file)
    size, expected = file.seek(0, io.SEEK_END), answer["Metadata"].get(DIGEST)
    file.seek(0)
    if size != found.size:
        raise altered(address, f"{size} of {found.size} bytes came")
    if expected and (digest := hashlib.file_digest(file, "sha256").hexdigest()) != expected:
        raise altered(address, f"its sha256 is {digest[:12]}, it was written with {expected[:12]}")
    return found


def _receive_parts(client: Any, location: Location, found: StoredObject, file: Buffer) -> None:
    class Known:
        """A subscriber: all parts are those of the object that was found, or the transfer fails."""

        def on_queued(self, future: Any, **_: Any) -> None:
            future.meta.provide_transfer_size(found.size)
            future.meta.provide_object_etag(f'"{found.etag}"')

    with _manager(client) as manager:
        manager.download(location.bucket, location.key, file, subscribers=[Known()]).result()


def send(client: Any, source: Path | bytes, location: Location, digest: str, conditions: Mapping[str, str]) -> str:
    """Write an object with its sha256 and return its etag; boto3 adds the checksum that the store verifies.

    Args:
        client: boto3's.
        source: a file or its content.
        location: bucket and key.
        digest: the content's sha256.
        conditions: `IfNoneMatch` or `IfMatch`. The transfer manager knows none, so with one the object goes in a
            single request, which holds up to 5 GB.
    """
    metadata = {DIGEST: digest}
    if isinstance(source, bytes) or conditions or source.stat().st_size <= PART:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as body:
            return _etag(
                client.put_object(Bucket=location.bucket, Key=location.key, Body=body, Metadata=metadata, **conditions)
            )
    with _manager(client) as manager:
        manager.upload(str(source), location.bucket, location.key, extra_args={"Metadata": metadata}).result()
    return _etag(client.head_object(Bucket=location.bucket, Key=location.key))


def same_content(client: Any, location: Location, digest: str) -> str:
    """The etag of the object there if it was written with this sha256; else nothing."""
    answer = client.head_object(Bucket=location.bucket, Key=location.key)
    return _etag(answer) if answer["Metadata"].get(DIGEST) == digest else ""


@contextmanager
def _manager(client: Any) -> Iterator[Any]:
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    # The classic manager: the faster one of awscrt, where that is installed, heeds fewer settings.
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, preferred_transfer_client="classic")
    with create_transfer_manager(client, config) as manager:
        yield manager


def _described(address: str, size: int, answer: Mapping[str, Any]) -> StoredObject:
    return StoredObject(address, size, _etag(answer))


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')
