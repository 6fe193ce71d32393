"""What a step says of a TrainJob that will not do its work, each time at the first look and in one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig, LoraConfig, TrainJobConfig
from bt_core.engine.training.job import TrainingJob
from bt_core.errors import BtError, ConfigError, TrainingError
from bt_core.models import BaseModel
from bt_runtime.trainjob import TrainJobs
from bt_runtime.trainjob.manifest import manifest
from tests.runtime.kubernetes_api import DISRUPTED, Cluster, client, refusal, serve

CRASHED = {"exitCode": 1, "reason": "Error"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with serve() as state:
        state.runs = state.ends = False
        state.pod_status = {"phase": "Running"}
        yield state


def container(restarts: int = 0, **states: Any) -> dict[str, Any]:
    status = {"name": "node", "image": "ours:1", "restartCount": restarts, "state": {}, "lastState": {}} | states
    return {"phase": "Running", "containerStatuses": [status]}


def fail(cluster: Cluster, share: Path, nodes: int = 1, **settings: Any) -> str:
    """The sentence with which a run ends; the job is gone afterwards."""
    jobs = TrainJobs(TrainJobConfig(share=str(share), **settings), client(cluster.url), seconds=0.01)
    with pytest.raises(BtError) as raised:
        jobs.run(str(share), 1, nodes)
    said = str(raised.value)
    assert "\n" not in said
    assert "HTTP" not in said
    assert not cluster.jobs
    return said


@pytest.mark.parametrize(
    "state", [{"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, {"running": {}}], ids=str
)
def test_a_restart_is_told_with_the_last_lines(state: dict[str, Any], cluster: Cluster, tmp_path: Path) -> None:
    cluster.pod_status = container(1, state=state, lastState={"terminated": CRASHED})
    traceback = ["Traceback (most recent call last):", "  File x", "  ~~~^^^", "OSError: no disk."]
    cluster.previous = ["first", *traceback, "E1127 10:00:00.1 launcher] failed", "=" * 60, ""]
    said = fail(cluster, tmp_path)
    assert "the container node of the pod pod-0 has ended and was begun again, with exit code 1" in said
    assert said.endswith("its output ended with: Traceback (most recent call last): | File x | OSError: no disk.")
    assert len(cluster.looked_at) == 1


def test_a_worker_that_cannot_write_its_failure_is_told(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pod_status = container(2, state={"running": {}}, lastState={"terminated": CRASHED})
    cluster.previous = ["bt-error 1: /mnt/bt cannot be written by the user 1001.", "E1127 and more of the launcher"]
    assert fail(cluster, tmp_path).endswith("with exit code 1: /mnt/bt cannot be written by the user 1001.")


def test_a_container_that_failed_for_good_is_told(cluster: Cluster, tmp_path: Path) -> None:
    """As in a runtime whose pods are never restarted."""
    cluster.pod_status = container(state={"terminated": CRASHED}) | {"phase": "Failed"}
    cluster.log = ["one", "two"]
    assert fail(cluster, tmp_path).endswith("has ended, with exit code 1; its output ended with: one | two.")


def test_a_pod_without_memory_is_told(cluster: Cluster, tmp_path: Path) -> None:
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    cluster.pod_status = container(
        1, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": killed}
    )
    cluster.previous = ["train: step 3 of 9"]
    said = fail(cluster, tmp_path)
    assert "pod-0 was killed, since it used more memory than its limit" in said
    assert "its output ended with: train: step 3 of 9: give the runtime's nodes more memory" in said


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_is_told(reason: str, cluster: Cluster, tmp_path: Path) -> None:
    waiting = {"reason": reason, "message": "pull access denied"}
    cluster.pod_status = container(state={"waiting": waiting}) | {"phase": "Pending"}
    said = fail(cluster, tmp_path)
    assert "the image ours:1 of the pod pod-0 cannot be pulled (pull access denied): check `trainjob.image`" in said


def test_a_container_that_cannot_be_made_is_told(cluster: Cluster, tmp_path: Path) -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}
    cluster.pod_status = container(state={"waiting": waiting}) | {"phase": "Pending"}
    assert 'cannot start its container node (secret "s3" not found)' in fail(cluster, tmp_path)


def test_a_pending_pod_is_told_and_then_given_up(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    cluster.pod_status = {"phase": "Pending", "conditions": [condition]}
    said = fail(cluster, tmp_path, pending_seconds=1)
    assert f"after 1 s (`trainjob.pending_seconds`) the pod pod-0 finds no node ({message})" in said
    assert len(cluster.looked_at) > 2
    assert capsys.readouterr().out.count(f"waits: the pod pod-0 finds no node ({message})") == 1


def test_a_pod_that_its_node_has_not_begun_is_told(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pod_status = {"phase": "Pending"}
    said = fail(cluster, tmp_path, pending_seconds=0)
    assert said.endswith("the pod pod-0 is pending (its node has not begun with it yet).")


def test_a_job_without_pods_is_given_up_unless_it_waits_in_a_queue(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pod_status = {}
    assert "no pod was created" in fail(cluster, tmp_path, pending_seconds=0)


@pytest.mark.parametrize("looks", [1, 2])
def test_missing_pods_are_told_at_the_second_look(
    looks: int, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that was created a moment ago has none yet."""
    cluster.pod_status = {}
    steps = iter([*[lambda: None] * (looks - 1), cluster.jobs.clear])
    monkeypatch.setattr("time.sleep", lambda seconds: next(steps)())
    fail(cluster, tmp_path)
    assert capsys.readouterr().out.count("waits: no pod was created") == looks - 1


def test_a_disrupted_pod_is_replaced_and_is_no_fault(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pod_status = container(state={"terminated": CRASHED}) | {"phase": "Failed", "conditions": [DISRUPTED]}
    cluster.ends = True
    settings = TrainJobConfig(share=str(tmp_path))
    assert TrainJobs(settings, client(cluster.url), seconds=0.01).run(str(tmp_path), 1).endswith("ended as Complete")


def test_a_node_that_fails_since_another_was_lost_says_so(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost node's pod is replaced, but torch's collective operations end with an error in all others."""
    cluster.lost, cluster.log = {1}, ["RuntimeError: Connection closed by peer"]

    def fail_alone(seconds: float) -> None:
        cluster.lost, cluster.pod_status = set(), container(state={"terminated": CRASHED})

    monkeypatch.setattr("time.sleep", fail_alone)
    said = fail(cluster, tmp_path, nodes=2)
    assert "pod-0 has ended, with exit code 1, after the pod pod-1 of the same training was deleted, evicted" in said
    assert said.endswith(": start the run again; with a shared folder it goes on from the last checkpoint.")


def test_a_deleted_job_is_told(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.log = ["train: step 3 of 9"]
    monkeypatch.setattr("time.sleep", lambda seconds: cluster.jobs.clear())
    said = fail(cluster, tmp_path)
    assert "was deleted by somebody else before it ended; its output ended with: train: step 3 of 9." in said


def test_a_failed_job_gives_its_message(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = {"type": "Failed", "status": "True", "message": "Job was active longer than its deadline"}

    def end(seconds: float) -> None:
        for job in cluster.jobs.values():
            job["status"] = {"conditions": [condition]}

    monkeypatch.setattr("time.sleep", end)
    jobs = TrainJobs(TrainJobConfig(share=str(tmp_path)), client(cluster.url), seconds=0.01)
    assert jobs.run(str(tmp_path), 1).endswith("ended as Failed (Job was active longer than its deadline)")


def test_a_job_takes_its_time_and_no_more(cluster: Cluster, tmp_path: Path) -> None:
    settings = TrainJobConfig(share=str(tmp_path)).model_copy(update={"timeout": 1})
    jobs = TrainJobs(settings, client(cluster.url), seconds=0.1)
    with pytest.raises(TrainingError, match=r"has not ended within `trainjob.timeout`, 1 s"):
        jobs.run(str(tmp_path), 1)
    assert not cluster.jobs


def test_the_log_is_shown_once_as_it_grows(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.log = ["one", "two"]
    looks = iter([lambda: cluster.log.append("three"), lambda: None, cluster.jobs.clear])
    monkeypatch.setattr("time.sleep", lambda seconds: next(looks)())
    fail(cluster, tmp_path)
    assert capsys.readouterr().out.split() == ["one", "two", "three"]


def test_missing_rights_are_told_in_the_apis_words(cluster: Cluster, tmp_path: Path) -> None:
    message = 'trainjobs.trainer.kubeflow.org is forbidden: User "x" cannot create resource "trainjobs"'
    cluster.refuses = refusal(403, "Forbidden", message)
    assert fail(cluster, tmp_path) == f"Kubeflow Trainer: the TrainJob in runtime torch-distributed failed ({message})."


def test_an_api_that_is_away_for_a_moment_ends_no_training(cluster: Cluster, tmp_path: Path) -> None:
    cluster.ends, cluster.hiccups = True, 2
    jobs = TrainJobs(TrainJobConfig(share=str(tmp_path)), client(cluster.url), seconds=0.01)
    assert jobs.run(str(tmp_path), 1).endswith("ended as Complete")
    assert cluster.hiccups == 0


def test_no_answer_is_told_without_the_clients_words(cluster: Cluster, tmp_path: Path) -> None:
    said = fail(Cluster(url="http://127.0.0.1:9"), tmp_path)
    assert said.endswith(
        "the TrainJob in runtime torch-distributed failed (the Kubernetes API at 127.0.0.1:9 does not answer)."
    )


def test_a_trainer_that_would_not_mount_the_claim_is_refused_before_the_job(cluster: Cluster, tmp_path: Path) -> None:
    """Kubernetes drops fields that a resource does not have without a word; Trainer has them since 2.2."""
    cluster.keeps_patches = False
    with pytest.raises(
        ConfigError, match=r"drops `runtimePatches`, so bt-claim would not be mounted.* to 2\.2 or later"
    ):
        TrainJobs(TrainJobConfig(share=str(tmp_path), claim="bt-claim"), client(cluster.url)).run(str(tmp_path), 1)
    assert len(cluster.dry_runs) == 1
    assert not cluster.jobs


def test_a_share_that_cannot_be_written_is_told(cluster: Cluster, tiny_model: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    jobs = TrainJobs(TrainJobConfig(share=str(tmp_path / "file")), client(cluster.url))
    job = TrainingJob(tiny_model, (), (), LoraConfig(mode="trainjob"), EngineConfig(), 0)
    with pytest.raises(ConfigError, match=r"`trainjob.share` .*/file cannot be written \(Not a directory"):
        jobs(job, tmp_path / "adapter", "key")


def test_the_model_cache_is_mounted_or_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BT_CACHE", "/models")
    monkeypatch.setenv("HF_HOME", "/models/huggingface")

    def made(**settings: str) -> tuple[set[str], str]:
        spec = manifest("job", "ClusterTrainingRuntime", ["python"], 1, TrainJobConfig(**settings))["spec"]
        return {variable["name"] for variable in spec["trainer"]["env"]}, str(spec.get("runtimePatches", ""))

    assert made(share="s3://bucket/x") == (set(), "")
    names, patches = made(share="/mnt/bt", claim="share", cache_claim="cache/models")
    assert names == {"BT_CACHE", "HF_HOME"}
    assert "{'name': 'bt-cache', 'mountPath': '/models', 'subPath': 'models'}" in patches
    assert "{'name': 'bt-cache', 'persistentVolumeClaim': {'claimName': 'cache'}}" in patches
    assert "{'name': 'bt-share', 'mountPath': '/mnt/bt'}" in patches
    assert made(share="/models", claim="share")[0] == {"BT_CACHE", "HF_HOME"}, "the share's own claim holds the cache"
