"""Rows from an address: a file, a folder, an object store, or the Hugging Face hub."""

import importlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bt_core.data.files import read_rows
from bt_core.data.folders import BEGINNINGS, read_folder
from bt_core.data.hub import HUB, read_hub
from bt_core.data.notes import naming
from bt_core.data.split_names import Source
from bt_core.errors import DataError
from bt_core.storage import is_remote, local_copy

#: How addresses begin that a package above this one reads -> import path of its function from address to rows.
READERS: Mapping[str, str] = {"mlflow:": "bt_tracking.entities.evaluation_sets:read"}
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def read_source(address: str) -> Source:
    """Read rows from an address.

    Args:
        address: a JSONL, CSV, TSV, Parquet or JSON file, also as `s3://bucket/key`; a folder, also as
            `s3://bucket/prefix/`, with `train` and `test` files, and with a `val` file unless val is to be taken from
            train; or `hub:ID` or `hub:ID:CONFIG`, each also with `@REVISION`, for a data set of the Hugging Face hub or
            another folder that `datasets` loads; or `mlflow:NAME` for an evaluation data set of MLflow.

    Returns:
        Rows, or rows by split: `validation`, `valid` and `dev` are `val`. Where a data set of the hub has no `test`
        split, its `validation` is `test`, since the labels of the real test split are not public then.

    Raises:
        DataError: when the rows cannot be loaded or are malformed.
        WorldError: when S3 cannot be reached.
        TrackingError: when MLflow cannot be reached.
    """
    for beginning, reader in READERS.items():
        if address.startswith(beginning):
            module, _, function = reader.partition(":")
            rows: Source = getattr(importlib.import_module(module), function)(address)
            return rows
    if address.startswith(HUB):
        return read_hub(address)
    if is_remote(address):
        return _read_remote(address)
    if _OTHER_SCHEME.match(address):
        raise DataError(
            f"The data address {address} is of a kind that is not read: give a path, s3://bucket/key, or hub:ID."
        )
    path = Path(address)
    return read_folder(path) if path.is_dir() else read_rows(path)


def _read_remote(address: str) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = local_copy(address, Path(folder), [f"{name}*" for name in BEGINNINGS])
        with naming(str(path), address.rstrip("/")):
            return read_source(str(path))
