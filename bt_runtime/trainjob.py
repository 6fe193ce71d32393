"""`w.mode: trainjob`: a training handed to Kubeflow Trainer, whose SDK is imported here and nowhere else.

The job runs torch's launcher on the entry point that several processes of one pod use too
(`bt_core.engine.training.worker`). Job and adapter pass through a folder or an S3 prefix that both pods reach.
"""

import os
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
from bt_core.engine.training.processes import FAILURE, JOB_FILE, collect_adapter, launch_command
from bt_core.errors import ConfigError, TrainingError
from bt_core.storage import Store, is_remote, under
from bt_runtime.images import IMAGE

ENDED = {"Complete", "Failed"}
#: Variables that tell the training pod where S3 is. Its credentials come from its own role or secret, never from here.
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_REGION", "BT_CACHE")


def remote_training(config: Config) -> RemoteTraining | None:
    """What trains on other machines, as the settings say; None: the step trains in its own pod.

    Raises:
        ConfigError: when no share is set through which the adapter comes back, or the SDK is not installed.
    """
    if config.w.mode == "pod":
        return None
    if not config.trainjob.share:
        raise ConfigError(
            "`w.mode` is trainjob, but `trainjob.share` is empty: name a folder or s3://bucket/prefix that both pods"
            " reach."
        )
    return TrainJobs(config.trainjob, _client(config.trainjob))


def _client(settings: TrainJobConfig) -> Any:
    try:
        from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
    except ImportError:
        raise ConfigError(
            "`w.mode` is trainjob, but Kubeflow's SDK is not installed: pip install 'bettertogether-kfp[trainjob]'."
        ) from None
    with _sdk_errors("no Kubernetes API was reached"):
        return TrainerClient(KubernetesBackendConfig(namespace=settings.namespace or None))


class TrainJobs:
    """Trains in a TrainJob, and in another one with a smaller memory plan where memory runs out.

    Args:
        settings: `trainjob.*`.
        client: a `kubeflow.trainer.TrainerClient`.
        seconds: how long to wait between two looks at the job.
    """

    def __init__(self, settings: TrainJobConfig, client: Any, seconds: int = 5) -> None:
        self.settings, self.client, self.seconds = settings, client, seconds

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
        ending = self.run(exchange, job.settings.processes)
        if not is_remote(exchange):
            return collect_adapter(Path(exchange), folder, ending)
        with TemporaryDirectory(prefix="bt-trainjob-") as scratch:
            Store().download_folder(exchange, Path(scratch))
            return collect_adapter(Path(scratch), folder, ending)

    def _hand_over(self, job: TrainingJob, plan: MemoryPlan, key: str) -> str:
        """Write the job into an exchange folder and return its address.

        In a shared folder it is the same for the same training, which so finds its checkpoints; in S3 it is new.
        """
        text = dump_job(job, plan, same_machine=False)
        if is_remote(self.settings.share):
            address = under(self.settings.share, f"{key}-{plan.name}-{uuid.uuid4().hex[:8]}")
            Store().write_bytes(text.encode(), under(address, JOB_FILE))
            return address
        path = Path(self.settings.share) / f"{key}-{plan.name}"
        path.mkdir(parents=True, exist_ok=True)
        for old in path.glob(f"{FAILURE}-*.json"):
            old.unlink()
        (path / JOB_FILE).write_text(text, encoding="utf-8")
        return str(path)

    def run(self, exchange: str, processes: int) -> str:
        """Create the TrainJob, show its log and wait for its end.

        Args:
            exchange: the folder or S3 prefix that holds the job.
            processes: how many share a step.

        Returns:
            How it ended, as the beginning of a sentence.

        Raises:
            TrainingError: when the cluster refuses the job, or it takes too long.
        """
        from kubeflow.trainer import CustomTrainerContainer
        from kubeflow.trainer.options import TrainerCommand

        settings = self.settings
        trainer = CustomTrainerContainer(
            image=settings.image or IMAGE,
            num_nodes=1,
            resources_per_node={"gpu": settings.gpus} if settings.gpus else None,
            env={name: os.environ[name] for name in PASSED_ON if os.environ.get(name)},
        )
        options = [TrainerCommand(["python", *launch_command(exchange, processes, standalone=False)]), *self._volume()]
        with _stoppable(), _sdk_errors(f"the TrainJob in runtime {settings.runtime} failed"):
            name = self.client.train(runtime=settings.runtime, trainer=trainer, options=options)
            status = ""
            try:
                self.client.wait_for_job_status(name, {"Running", *ENDED}, settings.timeout, self.seconds)
                for line in self.client.get_job_logs(name, follow=True):
                    print(line, flush=True)
                status = self.client.wait_for_job_status(name, ENDED, settings.timeout, self.seconds).status
            finally:
                if status not in ENDED:
                    self.client.delete_job(name)  # nobody waits for it any longer
        return f"The TrainJob {name} ended as {status}"

    def _volume(self) -> list[Any]:
        """The patch that mounts the volume claim at the shared folder; empty without a claim."""
        from kubeflow.trainer.options import kubernetes as patch

        if not self.settings.claim:
            return []
        mounted = patch.ContainerPatch("node", volume_mounts=[{"name": "bt-share", "mountPath": self.settings.share}])
        volume = {"name": "bt-share", "persistentVolumeClaim": {"claimName": self.settings.claim}}
        pod = patch.PodTemplatePatch(spec=patch.PodSpecPatch(volumes=[volume], containers=[mounted]))
        nodes = patch.ReplicatedJobPatch("node", patch.JobTemplatePatch(spec=patch.JobSpecPatch(template=pod)))
        jobs = patch.JobSetTemplatePatch(spec=patch.JobSetSpecPatch(replicated_jobs=[nodes]))
        return [patch.RuntimePatch(patch.TrainingRuntimeSpecPatch(template=jobs))]


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM, by which Kubernetes stops a pod, end the block like an exception, so that `finally` still runs."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _sdk_errors(what: str) -> Iterator[None]:
    """Turn the SDK's errors into one sentence; it includes their causes, which say more than the errors."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError is an OSError
        raise TrainingError(f"Kubeflow Trainer: {what} ({error}; {error.__cause__ or 'no more is known'}).") from None
    except Exception as error:
        if not type(error).__module__.startswith(("kubernetes", "urllib3")):
            raise
        raise TrainingError(f"Kubeflow Trainer: {what} ({error}): check the connection and the rights.") from None
