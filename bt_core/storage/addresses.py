"""Addresses: `s3://bucket/key` names an object, `s3://bucket/prefix` what lies under it, as a folder."""

from typing import NamedTuple

from bt_core.errors import DataError

SCHEME = "s3://"


class Location(NamedTuple):
    """An address taken apart."""

    bucket: str
    key: str


def is_remote(address: str) -> bool:
    return address.startswith(SCHEME)


def object_location(address: str) -> Location:
    """Bucket and key of one object.

    Raises:
        DataError: when the address names none.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not is_remote(address) or not bucket or not key or key.endswith("/"):
        raise DataError(f"{address} names no file in S3: write s3://bucket/key.")
    return Location(bucket, key)


def prefix_location(address: str) -> Location:
    """Bucket and prefix, which may be empty; `s3://bucket/day` is what begins with `day`.

    Raises:
        DataError: when the address names no bucket.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not is_remote(address) or not bucket:
        raise DataError(f"{address} names no place in S3: write s3://bucket/prefix.")
    return Location(bucket, key)


def under(folder: str, relative: str = "") -> str:
    """The address of something in a folder; without `relative`, the folder's own with its closing slash."""
    return f"{folder.rstrip('/')}/{relative}"
