"""The log of a task's pod, and the sentence in it that says why the task failed."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from bt_cluster.api import Api
from bt_cluster.tasks import Task
from bt_cluster.workflow import Workflow
from bt_core.errors import ERROR_MARK, UserError

#: How many last lines stand for a log without a sentence.
LAST_LINES = 5
_SENTENCE = re.compile(rf"{ERROR_MARK} (\d+): (.+)")
#: Lines of Kubeflow's own launcher and executor, which stand around a task's lines and say nothing of its failure.
#: JSON among them, which has a line for each value.
_LAUNCHER = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] |\[KFP Executor |[\]}{\[]+,?$|\"[^\"]+\": ")
#: Where the dashboard's server gives logs (frontend/server/app.ts); it passes on no path of v1alpha1.
_DASHBOARD = "/k8s/pod/logs"
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
    """The log of a pod, from Kubernetes or, after its end, from the archive; None where neither gives it.

    A pod that is running has one only where `shows_running`.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow cannot be reached.
    """
    doing = f"show the log of {pod}"
    path = f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log"
    text = api.text(doing, path, expected=(404, 500))
    log = _BROKEN_OFF.sub("", text or "")
    if text is not None and (log or text == log) and not _is_page(log):
        return log
    query = {"podname": pod, "runid": run_id, "podnamespace": workflow.namespace}
    log = api.text(doing, _DASHBOARD, expected=(404, 500), **query) or ""
    return None if not log or _is_page(log) else log


def shows_running(api: Api) -> bool:
    """Whether the logs of running pods can be read.

    In a Kubeflow for one user the API server looks for them in no namespace and finds none (`getNamespaceFromRunId` in
    backend/src/apiserver/resource/resource_manager.go). The dashboard's server looks in the right one.

    Raises:
        WorldError: when Kubeflow fails or cannot be reached.
    """
    health = api.document("say whether it has several users", "/apis/v2beta1/healthz", expected=(403, 404))
    if isinstance(health, dict) and health.get("multi_user"):
        return True
    try:
        return api.text("show logs", _DASHBOARD, expected=(404,)) is not None
    except UserError:  # the dashboard, which asks for the name of a pod
        return True


def _is_page(text: str) -> bool:
    return text.lstrip()[:9].lower() == "<!doctype"


def failure_of(task: Task, log: str | None) -> Failure:
    """Why a task failed, from the log of its last pod; None for one that is not kept."""
    found = _SENTENCE.findall(log or "")
    if found:
        status, sentence = found[-1]
        return Failure(sentence.strip(), 2 if status == "2" else 1)
    lines = [line.strip() for line in (log or "").splitlines() if line.strip()]
    own = [line for line in lines if not _LAUNCHER.match(line)] or lines
    if own:
        said = f"{task.message}; " if task.message else ""
        return Failure(f"{said}its log ends in: {' | '.join(own[-LAST_LINES:])}")
    return Failure(task.message or "it left no log and Kubernetes gives no reason")
