"""Several processes that train one adapter together: the same training, started by torch's own launcher."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bt_core.engine.curve import Curve
from bt_core.engine.training.adapter_cache import CURVE_FILE, AdapterCache
from bt_core.engine.training.job import Fit, TrainingJob, order
from bt_core.errors import BtError, ModelError, TrainingError, UserError

ORDER, RESULT, CHECKPOINTS, FAILURE = "order.json", "result", "checkpoints", "failure"
WORKER = "bt_core.engine.training.worker"


def command(location: str, processes: int, alone: bool) -> list[str]:
    """The launcher's command line for a place that holds an order (`train_worker`).

    Args:
        location: a folder or s3://bucket/prefix.
        processes: of this machine.
        alone: whether this machine finds its processes itself; on a cluster, Kubeflow Trainer's variables say where.
    """
    place = ["--standalone"] if alone else []
    return ["-m", "torch.distributed.run", *place, f"--nproc-per-node={processes}", "-m", WORKER, location]


def launch(job: TrainingJob, fit: Fit, folder: Path, checkpoints: Path) -> Curve:
    """`training.attempt` in `w.processes` processes on this machine.

    Raises:
        MemoryError: when one of them had too little.
        BtError: their own sentence, or that they ended without one.
    """
    count = job.settings.processes
    threads = str(max(1, (os.cpu_count() or 1) // count))
    with tempfile.TemporaryDirectory(prefix="bt-launch-") as scratch:
        place = Path(scratch)
        (place / ORDER).write_text(order(job, fit), encoding="utf-8")
        checkpoints.mkdir(parents=True, exist_ok=True)
        (place / CHECKPOINTS).symlink_to(checkpoints.resolve())
        done = subprocess.run(
            [sys.executable, *command(scratch, count, alone=True)],
            # The workers are ours too: no folder here may hide our packages.
            env={"OMP_NUM_THREADS": threads} | os.environ | {"PYTHONSAFEPATH": "1"},
            check=False,
        )
        return outcome(place, folder, f"The {count} training processes ended with status {done.returncode}")


def outcome(place: Path, folder: Path, ended: str) -> Curve:
    """What the processes left: the adapter's files go into the folder.

    Args:
        place: with the order.
        folder: for the adapter.
        ended: how a sentence begins when there is neither adapter nor failure.

    Raises:
        MemoryError, BtError: see `launch`.
    """
    curve = AdapterCache(place).restore(RESULT, folder)
    if curve is not None:
        (folder / CURVE_FILE).unlink()
        return replace(curve, cached=False)
    for path in sorted(place.glob(f"{FAILURE}-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["memory"]:
            raise MemoryError
        raise _failure(record["exit_status"], record["sentence"])
    raise TrainingError(f"{ended} and left no adapter: their own output above says why.")


def _failure(exit_status: int, sentence: str) -> BtError:
    kind = ModelError if exit_status == UserError.exit_status else TrainingError
    return kind(sentence)
