"""A temporary folder that does not stay for ever where its process was killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bt_core.shared_files import CLAIM_FILE, claimed, is_claimed

_PREFIX = "bt-scratch-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of the system's temporary folder for the block.

    It is deleted at the end of the block. A process that is killed cannot do so; the next block deletes what nobody
    claims any more.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if (left / CLAIM_FILE).exists() and not is_claimed(left):
            shutil.rmtree(left, ignore_errors=True)
    # Errors of the deletion are ignored, since another process may delete the folder once the claim has ended.
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder, claimed(Path(folder)):
        yield Path(folder)
