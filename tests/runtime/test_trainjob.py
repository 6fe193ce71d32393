"""`w.mode: trainjob` against a server that speaks Kubernetes' API and runs the job's own command here."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
from kubeflow_trainer_api import models
from kubernetes.client import Configuration

from bt_core.config import EngineConfig, LoraConfig, TrainJobConfig, resolve_config
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.errors import ConfigError, ModelError, TrainingError
from bt_core.models import BaseModel
from bt_runtime.trainjob import TrainJobs, remote_training

ROOT = Path(__file__).parents[2]
GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
WHEN = "2026-01-01T00:00:00Z"
CONTAINER = {"name": "node", "image": "pytorch"}
RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [CONTAINER]}}},
                        },
                    }
                ]
            }
        },
    },
}


@dataclass
class Cluster:
    """The state behind the API: the jobs that were created, and how the last one ended."""

    url: str = ""
    runs: bool = True
    ends: bool = True
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    looked_at: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    log: str = ""

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        job["metadata"] |= {"namespace": "team", "creationTimestamp": WHEN}
        self.jobs[job["metadata"]["name"]] = job
        kind = "Complete"
        if not self.ends:
            return job
        if self.runs:
            command = [sys.executable, "-W", "ignore", *job["spec"]["trainer"]["command"][1:]]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            self.log, kind = done.stdout, "Failed" if done.returncode else "Complete"
        condition = {"type": kind, "status": "True", "reason": "x", "message": "", "lastTransitionTime": WHEN}
        job["status"] = {"conditions": [condition]}
        return job

    def pods(self) -> dict[str, Any]:
        labels = {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"}
        metadata = {"name": "pod-0", "labels": labels, "creationTimestamp": WHEN}
        pod = {"metadata": metadata, "spec": {"containers": [CONTAINER]}, "status": {"phase": "Succeeded"}}
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]}

    def answer(self, path: str) -> Any:
        """The answer to a GET request; None: there is nothing at this path."""
        if path == f"{GROUP}/clustertrainingruntimes/torch-distributed":
            return RUNTIME
        if job := re.fullmatch(rf"{GROUP}/namespaces/team/trainjobs/(\w+)", path):
            self.looked_at.append(job[1])
            return self.jobs.get(job[1])
        if path == "/api/v1/namespaces/team/pods":
            return self.pods()
        return self.log if path == "/api/v1/namespaces/team/pods/pod-0/log" else None


class Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_GET(self) -> None:
        self._say(self.cluster.answer(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        assert self.path == f"{GROUP}/namespaces/team/trainjobs"
        self._say(self.cluster.create(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def do_DELETE(self) -> None:
        self.cluster.deleted.append(self.path.rpartition("/")[2])
        self._say({})

    def _say(self, answer: Any) -> None:
        body = answer if isinstance(answer, str) else json.dumps(answer if answer is not None else {"code": 404})
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    state = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": state}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def _client(url: str) -> Any:
    connection = Configuration(host=url)
    connection.retries = False
    return TrainerClient(KubernetesBackendConfig(namespace="team", client_configuration=connection))


def _job(model: BaseModel, **settings: Any) -> TrainingJob:
    rows = tuple(TrainingRow((Message("user", f"Thing {n}"),), "an answer") for n in range(4))
    chosen = LoraConfig(rank=2, epochs=1, batch_size=4, mode="trainjob", **settings)
    return TrainingJob(model, rows, (), chosen, EngineConfig(device="cpu"), 0)


def test_a_trainjob_brings_the_same_adapter_back(
    cluster: Cluster, tiny_model: BaseModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = tmp_path / "share"
    settings = TrainJobConfig(share=str(share), claim="bt-claim", image="ours:1", gpus=2)
    job = _job(tiny_model)
    curve = TrainJobs(settings, _client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")
    (sent,) = cluster.jobs.values()
    read = models.TrainerV1alpha1TrainJob.from_dict(sent)
    assert read is not None
    assert read.spec.trainer.image == "ours:1"
    assert read.spec.trainer.command[:3] == ["python", "-m", "torch.distributed.run"]
    assert read.spec.trainer.command[-2:] == ["bt_core.engine.training.worker", str(share / "key-4")]
    resources = json.loads(json.dumps(sent["spec"]["trainer"]["resourcesPerNode"]))
    assert resources["limits"] == {"nvidia.com/gpu": 2}
    assert "bt-claim" in json.dumps(sent["spec"]["runtimePatches"])
    assert "training needs about" in capsys.readouterr().out, "the job's log was shown"
    assert cluster.deleted == []
    here = train_adapter(job, tmp_path / "here")
    assert curve.loss == here.loss
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "adapter" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_a_failed_job_says_its_sentence(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = TrainJobConfig(share=str(tmp_path / "share"))
    job = _job(tiny_model, target_modules=("nonsense",))
    with pytest.raises(ModelError, match="do not fit the model"):
        TrainJobs(settings, _client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")


def test_a_job_without_an_adapter_is_a_failure(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    cluster.runs = False
    settings = TrainJobConfig(share=str(tmp_path / "share"))
    with pytest.raises(TrainingError, match=r"The TrainJob \w+ ended as Complete and left no adapter"):
        TrainJobs(settings, _client(cluster.url), seconds=1)(_job(tiny_model), tmp_path / "adapter", "key")


WAITING = """
import sys
from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
from kubernetes.client import Configuration
from bt_core.config import TrainJobConfig
from bt_runtime.trainjob import TrainJobs
connection = KubernetesBackendConfig(namespace="team", client_configuration=Configuration(host=sys.argv[1]))
TrainJobs(TrainJobConfig(share=sys.argv[2]), TrainerClient(connection), seconds=1).run(sys.argv[2], 1)
"""


def test_a_step_that_is_stopped_deletes_its_job(cluster: Cluster, tmp_path: Path) -> None:
    """Kubernetes stops a pod by SIGTERM, and Python then skips every `finally` unless the signal is handled."""
    cluster.ends = False
    step = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WAITING, cluster.url, str(tmp_path)], cwd=ROOT)
    try:
        while not cluster.looked_at and step.poll() is None:
            time.sleep(0.05)
        step.terminate()
        assert step.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        step.kill()
    assert cluster.deleted == list(cluster.jobs)


def test_a_missing_runtime_is_one_sentence(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = TrainJobConfig(share=str(tmp_path / "share"), runtime="other")
    with pytest.raises(TrainingError, match="the TrainJob in runtime other failed"):
        TrainJobs(settings, _client(cluster.url), seconds=1)(_job(tiny_model), tmp_path / "adapter", "key")


def test_the_mode_needs_a_share() -> None:
    assert remote_training(resolve_config({"task": "toy"})) is None
    with pytest.raises(ConfigError, match=r"`trainjob.share` is empty"):
        remote_training(resolve_config({"task": "toy", "w": {"mode": "trainjob"}}))
