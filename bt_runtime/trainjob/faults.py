"""What Kubernetes says of a TrainJob's pods when they do not run as they should.

The reasons are those of the kubelet (kubernetes/kubernetes: `pkg/kubelet/images/types.go`,
`pkg/kubelet/container/sync_result.go`, `pkg/kubelet/kuberuntime/kuberuntime_container.go`) and of the scheduler.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"}
_OUT_OF_MEMORY = "OOMKilled"
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Fault:
    """Why a pod will not do its work.

    Attributes:
        sentence: the beginning of a sentence.
        pod, container: whose log says more.
        is_previous: whether that log is the one of the container before its restart.
        advice: what to do, the end of the sentence.
    """

    sentence: str
    pod: str
    container: str
    is_previous: bool = False
    advice: str = ""


def find_fault(pod: Mapping[str, Any]) -> Fault | None:
    """Why this pod will not do its work; None where it may still, or has done it."""
    for status in _containers(pod):
        fault = _of_container(pod["metadata"]["name"], status)
        if fault is not None:
            return fault
    status = pod["status"]
    if status.get("phase") == "Failed" and not _is_disrupted(status):
        message = status.get("message") or status.get("reason") or "no reason is known"
        return Fault(f"the pod {pod['metadata']['name']} failed ({message})", pod["metadata"]["name"], "")
    return None


def node_number(pod: Mapping[str, Any]) -> str:
    """The number of the node that this pod is, which its replacement has too."""
    return str(pod["metadata"].get("labels", {}).get(_INDEX, ""))


def is_lost(pod: Mapping[str, Any]) -> bool:
    """Whether the pod was deleted, evicted or preempted, so that its work goes to a new pod."""
    return "deletionTimestamp" in pod["metadata"] or _is_disrupted(pod["status"])


def find_wait(pod: Mapping[str, Any]) -> str:
    """What a pod that has not started waits for; empty where it has started."""
    status = pod["status"]
    if status.get("phase") != "Pending":
        return ""
    name = pod["metadata"]["name"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"the pod {name} finds no node ({condition.get('message') or condition.get('reason')})"
    waiting = [state["waiting"] for state in _states(pod, "state") if "waiting" in state]
    why = next((state.get("message") or state.get("reason") for state in waiting), None)
    return f"the pod {name} is pending ({why or 'its node has not begun with it yet'})"


def _of_container(pod: str, status: Mapping[str, Any]) -> Fault | None:
    name, state = status["name"], status.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE:
        what = f"the image {status['image']} of the pod {pod} cannot be pulled ({message or reason})"
        return Fault(what, pod, name, advice="check `trainjob.image` and the pull secrets of the runtime")
    if reason in _START:
        return Fault(f"the pod {pod} cannot start its container {name} ({message or reason})", pod, name)
    before = status.get("lastState", {}).get("terminated", {})
    if status.get("restartCount", 0) and before.get("exitCode", 1):
        return _ended(pod, name, before, "has ended and was begun again", is_previous="terminated" not in state)
    ended = state.get("terminated", {})
    return _ended(pod, name, ended, "has ended") if ended.get("exitCode", 0) else None


def _ended(pod: str, name: str, ended: Mapping[str, Any], how: str, is_previous: bool = False) -> Fault:
    if ended.get("reason") == _OUT_OF_MEMORY:
        advice = "give the runtime's nodes more memory, or set a smaller `w.micro_batch`"
        return Fault(
            f"the pod {pod} was killed, since it used more memory than its limit", pod, name, is_previous, advice
        )
    code = f"exit code {ended['exitCode']}" if "exitCode" in ended else "an unknown exit code"
    return Fault(f"the container {name} of the pod {pod} {how}, with {code}", pod, name, is_previous)


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The state of each container; of a lost pod none."""
    status = pod["status"]
    if not is_lost(pod):
        yield from status.get("initContainerStatuses", [])
        yield from status.get("containerStatuses", [])


def _states(pod: Mapping[str, Any], which: str) -> Iterator[Mapping[str, Any]]:
    return (status.get(which, {}) for status in _containers(pod))


def _is_disrupted(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions", [])
    return any(condition["type"] == "DisruptionTarget" and condition["status"] == "True" for condition in conditions)
