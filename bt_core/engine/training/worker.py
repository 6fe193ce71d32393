"""One of the processes that train an adapter together: `python -m bt_core.engine.training.worker LOCATION`.

LOCATION is a folder, or s3://bucket/prefix, with `order.json`. The first process leaves the adapter there as
`adapters/result`, whole or not at all; one that fails leaves its sentence in `failure-<rank>.json`. In a folder,
checkpoints lie in `checkpoints`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bt_core.engine.local.memory import out_of_memory
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import read_order
from bt_core.engine.training.processes import CHECKPOINTS, FAILURE, ORDER, RESULT
from bt_core.engine.training.train import attempt
from bt_core.errors import BtError
from bt_core.storage import Store, is_remote, under


def main(location: str) -> int:
    """Train, and leave adapter or failure; returns the exit status."""
    rank = int(os.environ.get("RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with _folder(location) as folder:
        try:
            job, fit = read_order(folder / ORDER)
            adapter = folder / "trained"
            curve = attempt(job, fit, adapter, folder / CHECKPOINTS)
            if rank == 0:
                AdapterCache(folder).keep(RESULT, adapter, curve)
        except (BtError, RuntimeError, MemoryError) as error:
            memory = out_of_memory(error)
            if not memory and not isinstance(error, BtError):
                raise
            status = error.exit_status if isinstance(error, BtError) else 1
            record = {"memory": memory, "exit_status": status, "sentence": str(error)}
            (folder / f"{FAILURE}-{rank}.json").write_text(json.dumps(record), encoding="utf-8")
            return status
    return 0


@contextmanager
def _folder(location: str) -> Iterator[Path]:
    """The place as a folder; what is new in a remote one's copy is uploaded at the end."""
    if not is_remote(location):
        yield Path(location)
        return
    store = Store()
    with tempfile.TemporaryDirectory(prefix="bt-worker-") as scratch:
        folder = Path(scratch)
        store.download(under(location, ORDER), folder / ORDER)
        yield folder
        result = folder / "adapters" / RESULT
        if result.is_dir():
            store.upload_folder(result, under(location, f"adapters/{RESULT}"))
        for path in folder.glob(f"{FAILURE}-*.json"):
            store.upload(path, under(location, path.name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
