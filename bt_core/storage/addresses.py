"""Addresses: `s3://bucket/key` is an object, and `s3://bucket/prefix` a folder of the objects under it."""

from typing import NamedTuple

from bt_core.errors import DataError

SCHEME = "s3://"


class Location(NamedTuple):
    """Bucket and key of an address."""

    bucket: str
    key: str


def is_remote(address: str) -> bool:
    return address.startswith(SCHEME)


def object_location(address: str) -> Location:
    """Bucket and key of one object.

    Raises:
        DataError: when the address names no object.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not is_remote(address) or not bucket or not key or key.endswith("/"):
        raise DataError(f"{address} names no file in S3: write s3://bucket/key.")
    return Location(bucket, key)


def prefix_location(address: str) -> Location:
    """Bucket and prefix, which may be empty. `s3://bucket/day` covers every key that begins with `day`.

    Raises:
        DataError: when the address names no bucket.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not is_remote(address) or not bucket:
        raise DataError(f"{address} names no place in S3: write s3://bucket/prefix.")
    return Location(bucket, key)


def under(folder: str, relative: str = "") -> str:
    """The address of a path in a folder; without `relative`, that of the folder, with a closing slash."""
    return f"{folder.rstrip('/')}/{relative}"
