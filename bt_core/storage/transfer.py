"""Single transfers: an object, whole or in parts, is sent, received and verified once. `Store` does the retries."""

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from bt_core.storage.addresses import SCHEME, Location, object_location
from bt_core.storage.answers import altered, no_store

#: Size of a part in bytes; larger objects are transferred in parts, several at the same time.
PART = 8 << 20
#: The key of an object's metadata that holds the content's sha256.
DIGEST = "sha256"
CONNECT_SECONDS, READ_SECONDS = 5, 30

Buffer = io.BytesIO | io.BufferedRandom


@dataclass(frozen=True)
class StoredObject:
    """A store's description of an object. `etag` identifies its content, without quotes.

    `age` is the number of seconds since it was last written, by the store's own clock.
    """

    address: str
    size: int
    etag: str
    age: float = field(default=0.0, compare=False)


def connect() -> Any:
    """A client from AWS's own environment. It tries a request three times, or as `AWS_MAX_ATTEMPTS` says."""
    from boto3 import Session
    from botocore.config import Config

    timeouts = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    return Session().client("s3", config=Config(retries={"mode": "standard"}, **timeouts))


def list_all(client: Any, location: Location) -> list[StoredObject]:
    """Every object whose key begins with the location's.

    Raises:
        DataError: when the answer is not that of a store.
        Exception: one of `aws_errors`.
    """
    bucket = f"{SCHEME}{location.bucket}/"
    objects = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key):
        if "Name" not in page:
            raise no_store(bucket + location.key)
        now = _clock(page)
        objects += [_described(bucket + item["Key"], item["Size"], item, now) for item in page.get("Contents", ())]
    return objects


def receive(client: Any, address: str, file: Buffer) -> StoredObject:
    """Write an object's content to an empty file that is open for reading too.

    boto3 verifies the store's checksum of content that is transferred whole. Our own sha256 is verified whenever the
    object has one.

    Raises:
        DataError: when the content is not what was written.
        Exception: one of `aws_errors`.
    """
    location = object_location(address)
    answer = client.get_object(Bucket=location.bucket, Key=location.key)
    described = _described(address, answer["ContentLength"], answer, _clock(answer))
    if described.size > PART:
        answer["Body"].close()
        _receive_parts(client, location, described, file)
    else:
        shutil.copyfileobj(answer["Body"], file)
    size, expected = file.seek(0, io.SEEK_END), answer["Metadata"].get(DIGEST)
    file.seek(0)
    if size != described.size:
        raise altered(address, f"{size} of {described.size} bytes came")
    if expected and (digest := hashlib.file_digest(file, "sha256").hexdigest()) != expected:
        raise altered(address, f"its sha256 is {digest[:12]}, it was written with {expected[:12]}")
    return described


def _receive_parts(client: Any, location: Location, described: StoredObject, file: Buffer) -> None:
    class SameObject:
        """A subscriber that lets the transfer fail unless all parts belong to the object that was described."""

        def on_queued(self, future: Any, **_: Any) -> None:
            future.meta.provide_transfer_size(described.size)
            future.meta.provide_object_etag(f'"{described.etag}"')

    with _manager(client) as manager:
        manager.download(location.bucket, location.key, file, subscribers=[SameObject()]).result()


def send(client: Any, source: Path | bytes, location: Location, digest: str, conditions: Mapping[str, str]) -> str:
    """Write an object with its sha256 and return its etag. boto3 adds the checksum that the store verifies.

    Args:
        client: a boto3 S3 client.
        source: a file or its content.
        location: bucket and key.
        digest: the content's sha256.
        conditions: `IfNoneMatch` or `IfMatch`. The transfer manager supports none, so an object with a condition is
            sent in a single request, which takes up to 5 GB.
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


def is_ours(client: Any, location: Location) -> bool:
    """Whether `send` wrote the object."""
    return DIGEST in client.head_object(Bucket=location.bucket, Key=location.key)["Metadata"]


def same_content(client: Any, location: Location, digest: str) -> str:
    """The etag of the object if it was written with this sha256; otherwise empty."""
    answer = client.head_object(Bucket=location.bucket, Key=location.key)
    return _etag(answer) if answer["Metadata"].get(DIGEST) == digest else ""


@contextmanager
def _manager(client: Any) -> Iterator[Any]:
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    # The classic manager: that of awscrt, used where it is installed, is faster but ignores some settings.
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, preferred_transfer_client="classic")
    with create_transfer_manager(client, config) as manager:
        yield manager


def _described(address: str, size: int, answer: Mapping[str, Any], now: datetime) -> StoredObject:
    return StoredObject(address, size, _etag(answer), (now - answer["LastModified"]).total_seconds())


def _clock(answer: Mapping[str, Any]) -> datetime:
    """The time at which the store answered."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')
