"""The side that trains: one of several processes, `python -m bt_core.engine.training.worker EXCHANGE`.

EXCHANGE is the exchange folder, or s3://bucket/prefix, in which the starting side (`processes`, or a TrainJob) has put
`job.json`. The first process leaves the adapter there as `adapters/result`, whole or not at all; a process that fails
leaves its sentence in `failure-<rank>.json`. In a folder, checkpoints lie in `checkpoints`.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bt_core.engine.local.memory import out_of_memory
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import load_job
from bt_core.engine.training.processes import CHECKPOINTS, FAILURE, JOB_FILE, RESULT, Failure
from bt_core.engine.training.train import train_here
from bt_core.errors import BtError, TrainingError, one_sentence
from bt_core.storage import Store, is_remote, under


def main(exchange: str) -> int:
    """Train, and leave the adapter or the failure; returns the exit status."""
    rank = int(os.environ.get("RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with one_sentence(), _local_folder(exchange) as folder:
        try:
            job, plan = load_job(folder / JOB_FILE)
            adapter = folder / "trained"
            curve = train_here(job, plan, adapter, folder / CHECKPOINTS)
            if rank == 0:
                AdapterCache(folder).keep(RESULT, adapter, curve)
        except (BtError, RuntimeError, MemoryError) as error:
            memory = out_of_memory(error)
            if not memory and not isinstance(error, BtError):
                raise
            status = error.exit_status if isinstance(error, BtError) else 1
            _leave_failure(Failure(memory=memory, exit_status=status, sentence=str(error)), folder, rank)
            return status
        except PermissionError as error:
            raise _no_right(error) from None
    return 0


def _leave_failure(failure: Failure, folder: Path, rank: int) -> None:
    try:
        failure.write(folder / f"{FAILURE}-{rank}.json")
    except PermissionError as error:
        raise _no_right(error) from None


def _no_right(error: PermissionError) -> TrainingError:
    return TrainingError(
        f"{error.filename} cannot be written by the user {os.getuid()} of the training pod: make the shared folder"
        " writable for a group of that user."
    )


@contextmanager
def _local_folder(exchange: str) -> Iterator[Path]:
    """The exchange folder; for an S3 prefix a local copy, whose results are uploaded at the end."""
    if not is_remote(exchange):
        yield Path(exchange)
        return
    store = Store()
    with tempfile.TemporaryDirectory(prefix="bt-worker-") as scratch:
        folder = Path(scratch)
        store.download(under(exchange, JOB_FILE), folder / JOB_FILE)
        yield folder
        result = folder / "adapters" / RESULT
        if result.is_dir():
            store.upload_folder(result, under(exchange, f"adapters/{RESULT}"))
        for path in folder.glob(f"{FAILURE}-*.json"):
            store.upload(path, under(exchange, path.name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
