"""The Argo workflow that Kubeflow 2.17 makes of a pipeline, at a moment of its run, with Argo's names.

As backend/src/v2/compiler/argocompiler compiles it and Argo v4 runs it under the defaults of 2.17's manifests, in which
every template is tried again, so that there is a node `x` around all attempts of `x(0)`, `x(1)`, ...
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

NAME = "better-together-x7k2p"
NAMESPACE = "kubeflow"
_IMPL, _EXECUTOR = "system-container-impl", "system-container-executor"


@dataclass(frozen=True)
class Ends:
    """How a task ends.

    Attributes:
        how: `Succeeded`, `Cached`, `Failed`, `Running`, `Pending`, or `Omitted` where one before it failed.
        log: of its pod; None for one that neither Kubernetes nor the archive has.
        message: why the pod is in that state.
        attempts: how many pods ran.
    """

    how: str = "Succeeded"
    log: str | None = "done\n"
    message: str = ""
    attempts: int = 1


@dataclass
class FakeWorkflow:
    """Builds the manifest; every task takes ten seconds.

    Attributes:
        nodes: by their ids.
        logs: pod -> its log, where one is kept; those of running pods are in `running` too.
    """

    clock: datetime
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)

    def manifest(self, phase: str, message: str = "") -> str:
        content = {
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "status": {"phase": phase, "message": message, "nodes": self.nodes},
        }
        return json.dumps(content)

    def add(self, key: str, ends: Ends) -> None:
        """Add a task of the root that has begun."""
        path = f".root.{key}"
        if ends.how == "Omitted":
            for part in ("-driver", ""):
                self._node(path + part, "Skipped", _EXECUTOR if not part else "system-container-driver", "Omitted")
            return
        self._retried(f"{path}-driver", "Pod", "system-container-driver", "Succeeded")
        phase = {"Cached": "Succeeded", "Pending": "Running"}.get(ends.how, ends.how)
        self._retried(path, "DAG", _EXECUTOR, phase)
        if ends.how == "Cached":
            self._node(f"{path}.executor", "Skipped", _IMPL, "Skipped")
            return
        self._node(f"{path}.executor", "Retry", _IMPL, phase)
        for number in range(ends.attempts):
            is_last = number + 1 == ends.attempts
            how = ends.how if is_last else "Failed"
            pod = self._node(f"{path}.executor({number})", "Pod", _IMPL, how, message=ends.message)
            if ends.log is not None:
                self.logs[pod] = ends.log
            if how == "Running":
                self.running.add(pod)
        self.clock += timedelta(seconds=10)

    def fail_to_start(self, message: str) -> None:
        """The first node of all fails without a pod, as where the service account does not exist."""
        for attempt in range(2):
            for path in (f"({attempt}).root-driver", f"({attempt}).root-driver(0)"):
                kind, why = ("Pod", message) if path.endswith(")") else ("Retry", "No more retries left")
                self._node(path, kind, "system-dag-driver", "Error", why)
            self._node(f"({attempt}).root", "Skipped", "root", "Omitted", message="omitted: depends condition not met")

    def _retried(self, path: str, kind: str, template: str, phase: str) -> None:
        self._node(path, "Retry", template, phase)
        self._node(f"{path}(0)", kind, template, phase)

    def _node(self, path: str, kind: str, template: str, phase: str, message: str = "") -> str:
        """Add a node; the answer is the name that a pod of it has."""
        number = len(self.nodes) + 1000
        is_open = phase in ("Running", "Pending")
        ended = None if is_open else f"{self.clock + timedelta(seconds=10):%Y-%m-%dT%H:%M:%SZ}"
        self.nodes[f"{NAME}-{number}"] = {
            "id": f"{NAME}-{number}",
            "name": NAME + path,
            "displayName": path.rpartition(".")[2],
            "type": kind,
            "templateName": template,
            "phase": phase,
            "message": message,
            "startedAt": f"{self.clock:%Y-%m-%dT%H:%M:%SZ}",
            "finishedAt": ended,
        }
        return f"{NAME}-{template}-{number}"
