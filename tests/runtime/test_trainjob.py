"""`w.mode: trainjob` against a server that speaks Kubernetes' API and runs the job's own command here."""

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubeflow_trainer_api import models

from bt_core.config import EngineConfig, LoraConfig, TrainJobConfig, resolve_config
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.cache_keys import training_key
from bt_core.engine.training import node
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.errors import ConfigError, ModelError, TrainingError, one_sentence
from bt_core.models import BaseModel
from bt_runtime.trainjob import TrainJobs, remote_training
from bt_tracking.server import free_port
from tests.runtime.kubernetes_api import ROOT, Cluster, client, serve
from tests.s3 import Server


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with serve() as state:
        yield state


def _job(model: BaseModel, **settings: Any) -> TrainingJob:
    rows = tuple(TrainingRow((Message("user", f"Thing {n}"),), "an answer") for n in range(4))
    chosen = LoraConfig(**({"rank": 2, "epochs": 1, "batch_size": 4, "mode": "trainjob"} | settings))
    return TrainingJob(model, rows, (), chosen, EngineConfig(device="cpu"), 0)


def test_a_trainjob_brings_the_same_adapter_back(
    cluster: Cluster, tiny_model: BaseModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = tmp_path / "share"
    settings = TrainJobConfig(share=str(share), claim="bt-claim", image="ours:1", gpus=2)
    job = _job(tiny_model)
    curve = TrainJobs(settings, client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")
    (sent,) = cluster.jobs.values()
    read = models.TrainerV1alpha1TrainJob.from_dict(sent)
    assert read is not None
    assert read.spec.trainer.image == "ours:1"
    assert read.spec.trainer.num_nodes == 1
    assert read.spec.trainer.command == ["python", "-m", "bt_core.engine.training.node", "1", str(share / "key-4")]
    assert read.spec.active_deadline_seconds == settings.timeout
    resources = json.loads(json.dumps(sent["spec"]["trainer"]["resourcesPerNode"]))
    assert resources["limits"] == {"nvidia.com/gpu": 2}
    assert "bt-claim" in json.dumps(sent["spec"]["runtimePatches"])
    shown = capsys.readouterr().out
    assert "training needs about" in shown, "the job's log was shown"
    assert "train: step 1 of 1, loss " in shown
    assert ", 0 s left" in shown
    assert cluster.deleted == []
    here = train_adapter(job, tmp_path / "here")
    assert curve.loss == here.loss
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "adapter" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    # The pods of a training may have different users, all of group 0; safetensors' files are for their owner alone.
    paths = [share / "key-4", *(share / "key-4").rglob("*")]
    assert (share / "key-4" / "adapters" / "result" / "adapter_model.safetensors") in paths
    rights = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert rights == {(True, 0o2775), (False, 0o664)}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["folder", "s3"])
def test_two_nodes_make_the_adapter_of_two_processes(
    store: str, cluster: Cluster, tiny_model: BaseModel, tmp_path: Path, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through S3 the second node has no checkpoint to take its best epoch from, and needs none."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    share = "s3://data/trainjob" if store == "s3" else str(tmp_path / "share")
    held_out = (TrainingRow((Message("user", "Other"),), "an answer"),)
    job = replace(_job(tiny_model, nodes=2, batch_size=2, epochs=2), held_out=held_out)
    settings = TrainJobConfig(share=share, gpus=0)
    curve = TrainJobs(settings, client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")
    (sent,) = cluster.jobs.values()
    assert (sent["spec"]["trainer"]["numNodes"], curve.micro_batch) == (2, 1)
    one = job.settings.model_copy(update={"nodes": 1, "processes": 2, "mode": "pod"})
    together = train_adapter(replace(job, settings=one), tmp_path / "together")
    assert (curve.loss, curve.val_loss) == (together.loss, together.val_loss)
    name = "adapter_model.safetensors"
    assert (tmp_path / "adapter" / name).read_bytes() == (tmp_path / "together" / name).read_bytes()


def test_nodes_are_those_of_a_trainjob_and_change_nothing_where_there_is_one() -> None:
    assert "nodes" not in LoraConfig().model_dump(mode="json"), "programs and keys are those of earlier releases"
    more = LoraConfig(nodes=2, mode="trainjob")
    assert more.world_size == 2
    assert LoraConfig(**more.model_dump(mode="json")) == more
    assert training_key({}, (), (), more, 0) != training_key({}, (), (), LoraConfig(mode="trainjob"), 0)
    with pytest.raises(ConfigError, match="`w` has 2 `nodes`, which only `mode: trainjob` has"):
        resolve_config({"task": "toy", "w": {"nodes": 2}})
    with pytest.raises(ConfigError, match=r"no multiple of `nodes` times `processes` times `micro_batch` \(6\)"):
        resolve_config({"task": "toy", "w": {"nodes": 3, "processes": 2, "mode": "trainjob"}})


def test_a_failed_job_says_its_sentence(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = TrainJobConfig(share=str(tmp_path / "share"))
    job = _job(tiny_model, target_modules=("nonsense",))
    with pytest.raises(ModelError, match="names `nonsense`, which is no linear layer of the model"):
        TrainJobs(settings, client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")
    assert cluster.statuses == [0], "with another status, Kubernetes would begin it again"


def test_a_failure_on_one_node_ends_the_others(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    job = _job(tiny_model, target_modules=("nonsense",), nodes=2)
    with pytest.raises(ModelError, match="names `nonsense`, which is no linear layer of the model"):
        TrainJobs(TrainJobConfig(share=str(tmp_path)), client(cluster.url), seconds=1)(job, tmp_path / "adapter", "key")
    assert cluster.statuses == [0, 0]


def test_a_node_that_is_begun_again_does_not_repeat_a_failure(tmp_path: Path) -> None:
    (tmp_path / "failure-1.json").write_text("{}")
    command = [sys.executable, "-W", "ignore", "-m", "bt_core.engine.training.node", "1", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", 1, "bt-error 1: A training process was ended"),
    ],
)
def test_a_worker_that_leaves_no_failure_is_begun_again(
    code: str,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dying.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("bt_core.engine.training.processes.WORKER", "dying")
    monkeypatch.setenv("PET_MASTER_PORT", str(free_port(preferred=0)))
    with pytest.raises(SystemExit) as raised, one_sentence():
        sys.exit(node.main(str(tmp_path), 1))
    assert raised.value.code == status
    assert said in capsys.readouterr().err


def test_a_job_without_an_adapter_is_a_failure(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    cluster.runs = False
    settings = TrainJobConfig(share=str(tmp_path / "share"))
    with pytest.raises(TrainingError, match=r"The TrainJob \w+ ended as Complete and left no adapter"):
        TrainJobs(settings, client(cluster.url), seconds=1)(_job(tiny_model), tmp_path / "adapter", "key")


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
    cluster.runs = cluster.ends = False
    cluster.pod_status = {"phase": "Running"}
    step = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WAITING, cluster.url, str(tmp_path)], cwd=ROOT)
    try:
        while not cluster.looked_at and step.poll() is None:
            time.sleep(0.05)
        step.terminate()
        assert step.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        step.kill()
    assert cluster.deleted == cluster.looked_at[:1]


def test_a_missing_runtime_is_one_sentence(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = TrainJobConfig(share=str(tmp_path / "share"), runtime="other")
    with pytest.raises(TrainingError, match="the TrainJob in runtime other failed") as raised:
        TrainJobs(settings, client(cluster.url), seconds=1)(_job(tiny_model), tmp_path / "adapter", "key")
    said = str(raised.value)
    assert said.endswith('(clustertrainingruntimes.trainer.kubeflow.org "other" not found).')


def test_the_mode_needs_a_share() -> None:
    assert remote_training(resolve_config({"task": "toy"})) is None
    with pytest.raises(ConfigError, match=r"`trainjob.share` is empty"):
        remote_training(resolve_config({"task": "toy", "w": {"mode": "trainjob"}}))
