"""The log of a task's pod, and the sentence in it that says why the task failed."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from bt_cluster.api import Api
from bt_cluster.tasks import Task
from bt_cluster.workflow import Workflow
from bt_core.errors import ERROR_MARK

#: How many last lines stand for a log without a sentence.
LAST_LINES = 5
_SENTENCE = re.compile(rf"{ERROR_MARK} (\d+): (.+)")
#: What Kubeflow appends to an answer, whose status 200 is sent before the log is read
#: (backend/src/apiserver/server/run_log_server.go).
_BROKEN_OFF = re.compile(r'\{"error_message":".*\}\s*\Z', re.DOTALL)


@dataclass(frozen=True)
class Failure:
    """Why a task failed.

    Attributes:
        reason: its own sentence; else the last lines of its log; else what Kubernetes says of its pod.
        exit_status: 2 where the user can correct it, else 1. A pod's own status does not tell, as it is always 1.
    """

    reason: str
    exit_status: int = 1


def log_of(api: Api, run_id: str, workflow: Workflow, pod: str) -> str | None:
    """The log of a pod, from Kubernetes or, after its end, from the archive; None where neither has it.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow cannot be reached.
    """
    doing = f"show the log of {pod}"
    path = f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log"
    text = api.text(doing, path, expected=(404, 500))
    if text is None:  # behind the dashboard's server, which has a path of its own (frontend/server/app.ts)
        query = {"podname": pod, "runid": run_id, "podnamespace": workflow.namespace}
        return api.text(doing, "/k8s/pod/logs", expected=(404, 500), **query)
    log = _BROKEN_OFF.sub("", text)
    return log if log or text == log else None


def failure_of(task: Task, log: str | None) -> Failure:
    """Why a task failed, from the log of its last pod; None for one that is not kept."""
    found = _SENTENCE.findall(log or "")
    if found:
        status, sentence = found[-1]
        return Failure(sentence.strip(), 2 if status == "2" else 1)
    lines = [line.strip() for line in (log or "").splitlines() if line.strip()][-LAST_LINES:]
    if lines:
        said = f"{task.message}; " if task.message else ""
        return Failure(f"{said}its log ends in: {' | '.join(lines)}")
    return Failure(task.message or "it left no log and Kubernetes gives no reason")
