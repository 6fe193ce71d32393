"""`w.mode: trainjob`: a training handed to Kubeflow Trainer, whose SDK is imported here and nowhere else.

The job runs torch's launcher on the entry point that several processes of one pod use too
(`bt_core.engine.training.worker`). Order and adapter pass through a place that both pods reach.
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
from bt_core.engine.curve import Curve
from bt_core.engine.training.job import Fit, RemoteTraining, TrainingJob, order
from bt_core.engine.training.processes import FAILURE, ORDER, command, outcome
from bt_core.errors import ConfigError, TrainingError
from bt_core.storage import Store, is_remote, under
from bt_runtime.images import IMAGE

ENDED = {"Complete", "Failed"}
#: Where the training pod finds S3; who it is comes from its own role or secret, never from here.
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_REGION", "BT_CACHE")


def remote_training(config: Config) -> RemoteTraining | None:
    """What trains elsewhere, as the settings say; None: the step trains in its own pod.

    Raises:
        ConfigError: when there is no place to hand the adapter over, or the SDK is not installed.
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
    with _understood("no Kubernetes API was reached"):
        return TrainerClient(KubernetesBackendConfig(namespace=settings.namespace or None))


class TrainJobs:
    """Trains in TrainJobs, one after the other where memory runs out.

    Args:
        settings: `trainjob.*`.
        client: `kubeflow.trainer.TrainerClient`.
        seconds: between two looks at the job.
    """

    def __init__(self, settings: TrainJobConfig, client: Any, seconds: int = 5) -> None:
        self.settings, self.client, self.seconds = settings, client, seconds

    def __call__(self, job: TrainingJob, folder: Path, key: str) -> Curve:
        """`bt_core.engine.training.job.RemoteTraining`.

        Raises:
            TrainingError: when the cluster refuses the job, or it fails or takes too long.
        """
        from bt_core.engine.training.train import fitted  # loads torch

        return fitted(job, lambda fit: self._attempt(job, fit, folder, key))

    def _attempt(self, job: TrainingJob, fit: Fit, folder: Path, key: str) -> Curve:
        place = self._handed_over(job, fit, key)
        ended = self.run(place, job.settings.processes)
        if not is_remote(place):
            return outcome(Path(place), folder, ended)
        with TemporaryDirectory(prefix="bt-trainjob-") as scratch:
            Store().download_folder(place, Path(scratch))
            return outcome(Path(scratch), folder, ended)

    def _handed_over(self, job: TrainingJob, fit: Fit, key: str) -> str:
        """Write the order; returns where. A folder is the same for the same training, which finds its checkpoints."""
        text = order(job, fit, here=False)
        if is_remote(self.settings.share):
            place = under(self.settings.share, f"{key}-{fit.name}-{uuid.uuid4().hex[:8]}")
            Store().write_bytes(text.encode(), under(place, ORDER))
            return place
        path = Path(self.settings.share) / f"{key}-{fit.name}"
        path.mkdir(parents=True, exist_ok=True)
        for old in path.glob(f"{FAILURE}-*.json"):
            old.unlink()
        (path / ORDER).write_text(text, encoding="utf-8")
        return str(path)

    def run(self, place: str, processes: int) -> str:
        """Create the job, show its log, wait; returns how a sentence about its end begins.

        Args:
            place: folder or S3 prefix that holds the order.
            processes: that share a step.

        Raises:
            TrainingError: when the cluster refuses the job, or it takes too long.
        """
        from kubeflow.trainer import CustomTrainerContainer
        from kubeflow.trainer.options import TrainerCommand

        chosen = self.settings
        trainer = CustomTrainerContainer(
            image=chosen.image or IMAGE,
            num_nodes=1,
            resources_per_node={"gpu": chosen.gpus} if chosen.gpus else None,
            env={name: os.environ[name] for name in PASSED_ON if os.environ.get(name)},
        )
        options = [TrainerCommand(["python", *command(place, processes, alone=False)]), *self._volume()]
        with _stoppable(), _understood(f"the TrainJob in runtime {chosen.runtime} failed"):
            name = self.client.train(runtime=chosen.runtime, trainer=trainer, options=options)
            status = ""
            try:
                self.client.wait_for_job_status(name, {"Running", *ENDED}, chosen.timeout, self.seconds)
                for line in self.client.get_job_logs(name, follow=True):
                    print(line, flush=True)
                status = self.client.wait_for_job_status(name, ENDED, chosen.timeout, self.seconds).status
            finally:
                if status not in ENDED:
                    self.client.delete_job(name)  # nobody waits for it any more
        return f"The TrainJob {name} ended as {status}"

    def _volume(self) -> list[Any]:
        """The patch that mounts the claim at the shared folder; none without a claim."""
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
    """Let SIGTERM, by which Kubernetes stops a pod, end the block as an exception does: what is under way is ended."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """The SDK's errors as one sentence; its own causes are the better part of them."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError is an OSError
        raise TrainingError(f"Kubeflow Trainer: {what} ({error}; {error.__cause__ or 'no more is known'}).") from None
    except Exception as error:
        if not type(error).__module__.startswith(("kubernetes", "urllib3")):
            raise
        raise TrainingError(f"Kubeflow Trainer: {what} ({error}): check the connection and the rights.") from None
