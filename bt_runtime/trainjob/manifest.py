"""The TrainJob as Kubernetes' API takes it (kubeflow/trainer: `pkg/apis/trainer/v1alpha1/trainjob_types.go`)."""

import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from bt_core.config import TrainJobConfig
from bt_core.errors import ConfigError
from bt_core.storage import is_remote
from bt_runtime.images import IMAGE
from bt_runtime.trainjob.cluster import GROUP, VERSION

#: The name of the job and of its container in Trainer's runtimes.
NODE = "node"
#: Variables that tell the training pod where S3 is. Its credentials come from its own role or secret, never from here.
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_REGION")
#: Variables that name folders of the model cache.
CACHES = ("BT_CACHE", "HF_HOME")
#: Who patches the runtime; Trainer wants a subdomain and a path (`pkg/runtime/framework/plugins/jobset/jobset.go`).
_MANAGER = "bettertogether-kfp/trainjob"


def manifest(name: str, kind: str, command: Sequence[str], nodes: int, settings: TrainJobConfig) -> dict[str, Any]:
    """The TrainJob's JSON.

    Args:
        name: of the TrainJob; its pods' names begin with it.
        kind: that of the runtime.
        command: what each node runs.
        nodes: how many pods.
        settings: `trainjob.*`.
    """
    mounts = _mounts(settings)
    environment = {name: os.environ.get(name, "") for name in (*PASSED_ON, *_caches(settings))}
    trainer: dict[str, Any] = {
        "image": settings.image or IMAGE,
        "command": list(command),
        "numNodes": nodes,
        "env": [{"name": name, "value": value} for name, value in environment.items() if value],
    }
    if settings.gpus:
        gpus = {"nvidia.com/gpu": settings.gpus}
        trainer["resourcesPerNode"] = {"requests": gpus, "limits": gpus}
    spec = {
        "runtimeRef": {"apiGroup": GROUP, "kind": kind, "name": settings.runtime},
        "trainer": trainer,
        "activeDeadlineSeconds": settings.timeout,  # ends a job whose step has died
    }
    if mounts:
        spec["runtimePatches"] = [_mounting(mounts)]
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": {"name": name}, "spec": spec}


def check_patches(sent: dict[str, Any], stored: dict[str, Any], settings: TrainJobConfig) -> None:
    """Check that the API keeps what mounts the claims.

    Raises:
        ConfigError: when it drops it, as Kubernetes does with fields that the installed TrainJob does not have.
    """
    patches = sent["spec"].get("runtimePatches", [])
    if not _contains(stored["spec"].get("runtimePatches", []), patches):
        claims = " and ".join(claim for claim in (settings.claim, settings.cache_claim) if claim)
        raise ConfigError(
            f"The cluster's Kubeflow Trainer drops `runtimePatches`, so {claims} would not be mounted: update Trainer"
            " to 2.2 or later, or mount the volume in the training runtime and leave `trainjob.claim` and"
            " `trainjob.cache_claim` empty."
        )


def _contains(stored: Any, sent: Any) -> bool:
    """Whether everything that was sent is in what is stored, which may have more."""
    if isinstance(sent, dict):
        return isinstance(stored, dict) and all(_contains(stored.get(key), value) for key, value in sent.items())
    if isinstance(sent, list):
        same_length = isinstance(stored, list) and len(stored) == len(sent)
        return same_length and all(map(_contains, stored, sent))
    return bool(stored == sent)


def _mounts(settings: TrainJobConfig) -> list[tuple[str, str, str, str]]:
    """Volume, claim, folder of the claim and path for each claim that the job's pods mount."""
    mounts = []
    if settings.claim:
        mounts.append(("bt-share", settings.claim, "", settings.share))
    path = os.environ.get("BT_CACHE", "")
    if settings.cache_claim and path:
        claim, _, folder = settings.cache_claim.partition("/")
        mounts.append(("bt-cache", claim, folder, path))
    return mounts


def _caches(settings: TrainJobConfig) -> list[str]:
    """The variables whose folders exist in the job's pods too; elsewhere they would name a folder that is not there."""
    cache, share = os.environ.get("BT_CACHE", ""), settings.share
    mounted = [cache] if settings.cache_claim and cache else []
    if not is_remote(share):
        mounted.append(share)
    inside = [PurePosixPath(folder) for folder in mounted]
    return [name for name in CACHES if any(PurePosixPath(os.environ.get(name, "")).is_relative_to(f) for f in inside)]


def _mounting(mounts: Sequence[tuple[str, str, str, str]]) -> dict[str, Any]:
    """The patch of the runtime that mounts the claims in the nodes' pods."""
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim, _, _ in mounts]
    paths = [
        {"name": name, "mountPath": path} | ({"subPath": folder} if folder else {}) for name, _, folder, path in mounts
    ]
    pod = {"spec": {"volumes": volumes, "containers": [{"name": NODE, "volumeMounts": paths}]}}
    jobs = [{"name": NODE, "template": {"spec": {"template": pod}}}]
    return {"manager": _MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
