"""The side that starts training processes: it hands them a job and collects the adapter that they leave.

Torch's own launcher starts them, and each of them runs `bt_core.engine.training.worker`. Both sides meet in one
exchange folder, or S3 prefix: the job lies there as `job.json`, and the workers put the adapter or their failures
beside it.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from bt_core.engine.training.adapter_cache import CURVE_FILE, AdapterCache
from bt_core.engine.training.job import Curve, MemoryPlan, TrainingJob, dump_job
from bt_core.errors import BtError, ModelError, TrainingError, UserError
from bt_core.formats.document import Count, Document

#: What lies in the exchange folder: the job, the adapter's entry in its cache, checkpoints, and `failure-<rank>.json`.
JOB_FILE, RESULT, CHECKPOINTS, FAILURE = "job.json", "result", "checkpoints", "failure"
LAUNCHER = "torch.distributed.run"
WORKER = "bt_core.engine.training.worker"
NODE = "bt_core.engine.training.node"


class Failure(Document):
    """`failure-<rank>.json`: why a worker ended."""

    remedy: ClassVar[str] = "its own output above says why it failed"

    memory: bool
    exit_status: Count
    sentence: str


def launch_arguments(exchange: str, processes: int) -> list[str]:
    """The arguments of torch's launcher that start the workers of one machine.

    Args:
        exchange: the exchange folder, or s3://bucket/prefix.
        processes: how many to start on this machine.
    """
    return [f"--nproc-per-node={processes}", "-m", WORKER, exchange]


def node_command(exchange: str, processes: int) -> list[str]:
    """The arguments with which Python starts the workers of a TrainJob's node; the others are as above.

    Where the other nodes are, the launcher learns from the variables that Kubeflow Trainer sets.
    """
    return ["-m", NODE, str(processes), exchange]


def train_in_processes(job: TrainingJob, plan: MemoryPlan, folder: Path, checkpoints: Path) -> Curve:
    """Train in `w.processes` processes on this machine, by one memory plan.

    Raises:
        MemoryError: when one of them ran out of memory.
        BtError: with the sentence of the process that failed, or that they ended without one.
    """
    count = job.settings.processes
    threads = str(max(1, (os.cpu_count() or 1) // count))
    with tempfile.TemporaryDirectory(prefix="bt-launch-") as scratch:
        exchange = Path(scratch)
        (exchange / JOB_FILE).write_text(dump_job(job, plan), encoding="utf-8")
        checkpoints.mkdir(parents=True, exist_ok=True)
        (exchange / CHECKPOINTS).symlink_to(checkpoints.resolve())
        done = subprocess.run(
            [sys.executable, "-m", LAUNCHER, "--standalone", *launch_arguments(scratch, count)],
            # The workers are ours too: no folder here may hide our packages.
            env={"OMP_NUM_THREADS": threads} | os.environ | {"PYTHONSAFEPATH": "1"},
            check=False,
        )
        return collect_adapter(exchange, folder, f"The {count} training processes ended with status {done.returncode}")


def collect_adapter(exchange: Path, folder: Path, ending: str) -> Curve:
    """Copy the adapter that the workers left into a folder, or raise the failure that they left instead.

    Args:
        exchange: the exchange folder.
        folder: where the adapter's files go.
        ending: how the workers ended, the beginning of the sentence when they left neither.

    Raises:
        MemoryError, BtError: as `train_in_processes` does.
    """
    curve = AdapterCache(exchange).restore(RESULT, folder)
    if curve is not None:
        (folder / CURVE_FILE).unlink()
        return replace(curve, cached=False)
    raise_failure(exchange)
    raise TrainingError(f"{ending} and left no adapter: their own output above says why.")


def raise_failure(exchange: Path) -> None:
    """Raise the failure that a worker left in the exchange folder, if one did.

    Raises:
        MemoryError, BtError: as `train_in_processes` does.
    """
    for path in sorted(exchange.glob(f"{FAILURE}-*.json")):
        failure = Failure.read(path)
        if failure.memory:
            raise MemoryError
        raise _failure(failure.exit_status, failure.sentence)


def _failure(exit_status: int, sentence: str) -> BtError:
    kind = ModelError if exit_status == UserError.exit_status else TrainingError
    return kind(sentence)
