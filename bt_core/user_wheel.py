"""Bring the user's code into an image that does not hold it, from a wheel in S3 that is named with its sha256.

    BT_WHEEL=s3://bucket/triage-1.0-py3-none-any.whl#sha256=<64 hex digits>

Every Python interpreter of the images calls `activate` when it starts (docker/bt_start.pth). The image's entry point
could not do that, since Kubeflow replaces it with its own.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from bt_core.errors import ConfigError, DataError, one_sentence
from bt_core.shared_files import cache_dir, make_folder
from bt_core.storage import Store

WHEEL_VARIABLE = "BT_WHEEL"
_DIGEST_MARK = "#sha256="


def activate() -> None:
    """Make the packages of the wheel that BT_WHEEL names importable, or end this process with the error's sentence."""
    try:
        with one_sentence():
            sys.path.append(str(install(os.environ[WHEEL_VARIABLE], cache_dir() / "wheels")))
    except SystemExit as end:
        os._exit(int(end.code or 0))  # the interpreter would call SystemExit a fatal error


def install(address: str, folder: Path) -> Path:
    """Download a wheel, compare its sha256 with the one in the address, and unpack it without dependencies.

    Args:
        address: `s3://bucket/name.whl#sha256=...`.
        folder: where wheels are unpacked, each in a folder named by its sha256; one that is there is not fetched again.

    Returns:
        The folder with the wheel's packages.

    Raises:
        ConfigError: when the address names no wheel or no sha256.
        DataError: when the file does not exist, has another sha256, or is not a wheel.
        WorldError: when S3 fails, or the folder cannot be created.
    """
    place, mark, digest = address.partition(_DIGEST_MARK)
    if not mark or not re.fullmatch("[0-9a-f]{64}", digest) or not place.endswith(".whl"):
        raise ConfigError(
            f"{WHEEL_VARIABLE} is {address!r}: write s3://bucket/name.whl{_DIGEST_MARK} and what `sha256sum` prints."
        )
    installed = folder / digest
    if installed.is_dir():
        return installed
    with tempfile.TemporaryDirectory(dir=make_folder(folder)) as scratch:
        wheel = Path(scratch, PurePosixPath(place).name)
        Store().download(place, wheel)
        _verify(wheel, place, digest)
        unpacked = Path(scratch, "code")
        _unpack(wheel, place, unpacked)
        with suppress(OSError):  # another process has unpacked it meanwhile
            unpacked.rename(installed)
    return installed


def _verify(wheel: Path, place: str, digest: str) -> None:
    with wheel.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != digest:
        raise DataError(
            f"{place} has sha256 {actual[:12]}..., but {WHEEL_VARIABLE} says {digest[:12]}...: nothing of it was"
            " installed; upload the right file, or name its sha256."
        )


def _unpack(wheel: Path, place: str, folder: Path) -> None:
    command = [sys.executable, "-P", "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-cache-dir", "--no-compile", "--target", str(folder)]
    # Without the variable, since pip's interpreter would otherwise install the wheel before it starts.
    environment = {name: value for name, value in os.environ.items() if name != WHEEL_VARIABLE}
    process = subprocess.run(
        [*command, *options, str(wheel)], env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise DataError(f"{place} cannot be installed ({reason}): build the wheel again.")
