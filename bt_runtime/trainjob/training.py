"""Trains in a TrainJob: hands the job over, waits for its end and collects the adapter."""

import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bt_core.config import Config, TrainJobConfig
from bt_core.engine.training.job import Curve, MemoryPlan, RemoteTraining, TrainingJob, dump_job
from bt_core.engine.training.processes import (
    FAILURE,
    JOB_FILE,
    collect_adapter,
    node_command,
    raise_failure,
)
from bt_core.errors import ConfigError, TrainingError, warn
from bt_core.shared_files import share_with_group
from bt_core.storage import Store, is_remote, under
from bt_runtime.trainjob.cluster import Cluster, new_client
from bt_runtime.trainjob.manifest import check_patches, manifest
from bt_runtime.trainjob.watch import PodFault, Watch


def remote_training(config: Config) -> RemoteTraining | None:
    """What trains on other machines, as the settings say; None: the step trains in its own pod.

    Raises:
        ConfigError: when no share is set through which the adapter comes back, or the SDK is not installed.
        TrainingError: when there is no cluster to connect to.
    """
    if config.w.mode == "pod":
        return None
    if not config.trainjob.share:
        raise ConfigError(
            "`w.mode` is trainjob, but `trainjob.share` is empty: name a folder or s3://bucket/prefix that both pods"
            " reach."
        )
    return TrainJobs(config.trainjob, new_client(config.trainjob))


class TrainJobs:
    """Trains in a TrainJob, and in another one with a smaller memory plan where memory runs out.

    Args:
        settings: `trainjob.*`.
        client: a `kubeflow.trainer.TrainerClient`.
        seconds: how long to wait between two looks at the job.
    """

    def __init__(self, settings: TrainJobConfig, client: Any, seconds: float = 5) -> None:
        self.settings, self.cluster, self.seconds = settings, Cluster(client), seconds

    def __call__(self, job: TrainingJob, folder: Path, key: str) -> Curve:
        """`bt_core.engine.training.job.RemoteTraining`.

        Raises:
            TrainingError: when the cluster refuses the job, or it fails or takes too long.
            BtError: with the sentence of a process that failed.
        """
        from bt_core.engine.training.train import try_memory_plans  # loads torch

        return try_memory_plans(job, lambda plan: self._train(job, plan, folder, key))

    def _train(self, job: TrainingJob, plan: MemoryPlan, folder: Path, key: str) -> Curve:
        exchange = self._hand_over(job, plan, key)
        try:
            ending = self.run(exchange, job.settings.processes, job.settings.nodes)
        except PodFault:
            with _local(exchange) as here:
                raise_failure(here)  # a worker may have said more than Kubernetes knows
            raise
        with _local(exchange) as here:
            return collect_adapter(here, folder, ending)

    def _hand_over(self, job: TrainingJob, plan: MemoryPlan, key: str) -> str:
        """Write the job into an exchange folder and return its address.

        In a shared folder it is the same for the same training, which so finds its checkpoints; in S3 it is new.

        Raises:
            ConfigError: when the shared folder cannot be written.
        """
        text = dump_job(job, plan, same_machine=False)
        if is_remote(self.settings.share):
            address = under(self.settings.share, f"{key}-{plan.name}-{uuid.uuid4().hex[:8]}")
            Store().write_bytes(text.encode(), under(address, JOB_FILE))
            return address
        path = Path(self.settings.share) / f"{key}-{plan.name}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            for old in path.glob(f"{FAILURE}-*.json"):
                old.unlink()
            (path / JOB_FILE).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"`trainjob.share` {self.settings.share} cannot be written ({error.strerror}: {error.filename}): make"
                " the folder writable for group 0, to which the images' user belongs."
            ) from None
        share_with_group(path)
        return str(path)

    def run(self, exchange: str, processes: int, nodes: int = 1) -> str:
        """Create the TrainJob, show its log and wait for its end.

        Args:
            exchange: the folder or S3 prefix that holds the job.
            processes: how many share a step on each node.
            nodes: how many pods.

        Returns:
            How it ended, as the beginning of a sentence.

        Raises:
            TrainingError: when the cluster refuses the job, or it cannot end or takes too long.
            ConfigError: when the cluster's Trainer is too old to mount the claims.
        """
        name, settings = f"bt{uuid.uuid4().hex[:10]}", self.settings
        kind = self.cluster.runtime_kind(settings.runtime)
        body = manifest(name, kind, ["python", *node_command(exchange, processes)], nodes, settings)
        if "runtimePatches" in body["spec"]:
            check_patches(body, self.cluster.create(body, dry_run=True), settings)
        ending = ""
        with _stoppable():
            self.cluster.create(body)
            try:
                ending = Watch(self.cluster, name, settings, self.seconds).wait()
            finally:
                if not ending:
                    self._delete(name)  # nobody waits for it any longer
        return ending

    def _delete(self, name: str) -> None:
        """Delete the TrainJob; where that fails, the error that led here is the one to raise."""
        try:
            self.cluster.delete(name)
        except TrainingError as error:
            warn(str(error))


@contextmanager
def _local(exchange: str) -> Iterator[Path]:
    """The exchange folder; for an S3 prefix a local copy."""
    if not is_remote(exchange):
        yield Path(exchange)
        return
    with TemporaryDirectory(prefix="bt-trainjob-") as scratch:
        copy = Path(scratch, "exchange")  # a folder that exists would be kept as it is
        Store().download_folder(exchange, copy)
        yield copy


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM, by which Kubernetes stops a pod, end the block like an exception, so that `finally` still runs."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
