"""The Argo workflow of a run, as Kubeflow keeps it.

Kubeflow compiles a pipeline to a workflow (backend/src/v2/compiler/argocompiler) whose nodes say which task was taken
from the cache, in which pod each attempt ran, and why a pod ended. Of these, v2beta1's `task_details` hold only display
names, states and times, so that the workflow is read from the v1beta1 API, which the same servers answer.
"""

import base64
import binascii
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bt_cluster.api import Api
from bt_core.errors import WorldError

#: The number of an attempt in a node's name, `(0)`; the one of a loop's iteration is `(0:0)`.
_ATTEMPT = re.compile(r"\(\d+\)")
_POD_NAMES = "workflows.argoproj.io/pod-name-format"


@dataclass(frozen=True)
class Node:
    """A node of the workflow.

    Attributes:
        path: its name less the workflow's and the numbers of attempts, `.root.prepare-data.executor`.
        kind: Argo's type: `Pod`, `DAG`, `Retry`, `Skipped`, ...
        template: what it was made from, such as `system-container-driver`.
        phase: Argo's word for its state.
        pod: name of its pod, where it is one.
        message: why it is in that state, where Argo says so.
    """

    path: str
    kind: str
    template: str
    phase: str
    pod: str
    message: str
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class Workflow:
    """A workflow and its nodes, in the order in which they began."""

    name: str
    namespace: str
    message: str
    nodes: tuple[Node, ...]


def workflow_of(api: Api, run_id: str) -> Workflow | None:
    """The workflow of a run; None where Kubeflow keeps none yet, or does not serve it.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached, or keeps something else.
    """
    answer = api.document("show the run's tasks", f"/apis/v1beta1/runs/{quote(run_id)}", expected=(404, 501))
    manifest = ((answer or {}).get("pipeline_runtime") or {}).get("workflow_manifest")
    if not manifest:
        return None
    try:
        return read_workflow(json.loads(manifest))
    except (ValueError, KeyError, TypeError, binascii.Error, gzip.BadGzipFile) as error:
        raise WorldError(f"Kubeflow keeps a workflow of the run {run_id} that cannot be read ({error!r}).") from None


def read_workflow(content: Mapping[str, Any]) -> Workflow:
    """The workflow in a manifest. Argo packs the nodes of a large one."""
    metadata, status = content["metadata"], content.get("status") or {}
    nodes = status.get("nodes") or {}
    if status.get("compressedNodes"):
        nodes = json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))
    old_names = (metadata.get("annotations") or {}).get(_POD_NAMES) == "v1"
    read = [_node(metadata["name"], one, old_names) for one in nodes.values()]
    read.sort(key=lambda node: (node.started is None, node.started, node.path))
    return Workflow(metadata["name"], metadata.get("namespace", ""), status.get("message", ""), tuple(read))


def _node(workflow: str, node: Mapping[str, Any], old_names: bool) -> Node:
    template = str(node.get("templateName", ""))
    return Node(
        path=_ATTEMPT.sub("", str(node["name"]).removeprefix(workflow)),
        kind=str(node["type"]),
        template=template,
        phase=str(node.get("phase", "")),
        pod=node["id"] if old_names else _pod(workflow, template, str(node["id"])),
        message=str(node.get("message", "")),
        started=_time(node.get("startedAt")),
        ended=_time(node.get("finishedAt")),
    )


def _pod(workflow: str, template: str, node_id: str) -> str:
    """As `RetrievePodName` in backend/src/common/util/workflow.go."""
    return f"{workflow}-{template}-{node_id.rpartition('-')[2]}"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
