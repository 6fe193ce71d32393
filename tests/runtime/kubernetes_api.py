"""A server that answers like Kubernetes' API with Kubeflow Trainer in it, and runs a job's own command here."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
from kubernetes.client import Configuration

from bt_tracking.server import free_port

ROOT = Path(__file__).parents[2]
GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
WHEN = "2026-01-01T00:00:00Z"
CONTAINER = {"name": "node", "image": "pytorch"}
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
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


def refusal(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error as the API sends it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return code, body | {"code": code}


@dataclass
class Cluster:
    """The state behind the API.

    Attributes:
        runs: whether a created job's command is run here; otherwise nothing runs.
        ends: whether a job that ran, or did not, is then Complete or Failed.
        keeps_patches: whether this Trainer knows `runtimePatches`, as since 2.2.
        refuses: the answer to a creation, if it is to fail.
        hiccups: how many questions after a job's creation fail, as while the API server is begun again.
        pod_status: of every pod, where no command is run.
        lost: the numbers of the nodes whose pod was evicted.
        jobs, looked_at, deleted: jobs by name, and the names that were read and deleted.
        log, previous: lines of the log of node 0, and of its container before a restart.
    """

    url: str = ""
    runs: bool = True
    ends: bool = True
    keeps_patches: bool = True
    refuses: tuple[int, dict[str, Any]] | None = None
    hiccups: int = 0
    pod_status: dict[str, Any] = field(default_factory=lambda: {"phase": "Succeeded"})
    lost: set[int] = field(default_factory=set)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    dry_runs: list[dict[str, Any]] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    previous: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def create(self, job: dict[str, Any], dry_run: bool) -> tuple[int, Any]:
        if self.refuses:
            return self.refuses
        job["metadata"] |= {"namespace": "team", "creationTimestamp": WHEN}
        if not self.keeps_patches:
            job["spec"].pop("runtimePatches", None)
        if any("/" not in patch["manager"] for patch in job["spec"].get("runtimePatches", [])):
            return refusal(403, "Forbidden", "spec.runtimePatches.manager: must be a domain-prefixed path")
        if dry_run:
            self.dry_runs.append(job)
            return 201, job
        self.jobs[job["metadata"]["name"]] = job
        if self.runs:
            self._run(job)
        if self.ends:
            kind = "Failed" if any(self.statuses) else "Complete"
            condition = {"type": kind, "status": "True", "reason": "x", "message": "", "lastTransitionTime": WHEN}
            job["status"] = {"conditions": [condition]}
        return 201, job

    def _run(self, job: dict[str, Any]) -> None:
        """Run the job's nodes here, each with the variables of Trainer's torch runtime."""
        trainer, port = job["spec"]["trainer"], free_port(preferred=0)
        threads = max(1, (os.cpu_count() or 1) // trainer["numNodes"])
        command = [sys.executable, "-W", "ignore", *trainer["command"][1:]]
        nodes = []
        for rank in range(trainer["numNodes"]):
            where = {"PET_NNODES": trainer["numNodes"], "PET_NODE_RANK": rank, "PET_NPROC_PER_NODE": "auto"}
            where |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port}
            environment = (
                os.environ | {name: str(value) for name, value in where.items()} | {"OMP_NUM_THREADS": str(threads)}
            )
            nodes.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
            )
        outputs = [node.communicate()[0] for node in nodes]
        self.log = outputs[0].splitlines()
        self.statuses = [node.returncode for node in nodes]

    def pods(self, selector: str) -> tuple[int, Any]:
        job = self.jobs.get(selector.removeprefix("jobset.sigs.k8s.io/jobset-name="))
        items = []
        for number in range(job["spec"]["trainer"]["numNodes"] if job and self.pod_status else 0):
            labels = {
                "jobset.sigs.k8s.io/replicatedjob-name": "node",
                "batch.kubernetes.io/job-completion-index": str(number),
            }
            metadata = {"name": f"pod-{number}", "labels": labels, "creationTimestamp": WHEN}
            status = self.pod_status | ({"conditions": [DISRUPTED]} if number in self.lost else {})
            items.append({"metadata": metadata, "spec": {"containers": [CONTAINER]}, "status": status})
        return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}

    def pod_log(self, options: dict[str, str]) -> tuple[int, Any]:
        lines = self.previous if "previous" in options else self.log
        if "previous" in options and not lines:
            return refusal(400, "BadRequest", 'previous terminated container "node" in pod "pod-0" not found')
        numbered = [(f"{WHEN[:-1]}.{number:09}Z ", line) for number, line in enumerate(lines)]
        kept = numbered[-int(options["tailLines"]) :] if "tailLines" in options else numbered
        return 200, "".join(f"{stamp if 'timestamps' in options else ''}{line}\n" for stamp, line in kept)

    def answer(self, path: str, options: dict[str, str]) -> tuple[int, Any]:
        """The answer to a GET request."""
        if self.jobs and self.hiccups:
            self.hiccups -= 1
            return 503, "upstream connect error"
        if path == f"{GROUP}/clustertrainingruntimes/torch-distributed":
            return 200, RUNTIME
        if job := re.fullmatch(rf"{GROUP}/namespaces/team/trainjobs/(\w+)", path):
            self.looked_at.append(job[1])
            if job[1] in self.jobs:
                return 200, self.jobs[job[1]]
        if path == "/api/v1/namespaces/team/pods":
            return self.pods(options["labelSelector"])
        if path == "/api/v1/namespaces/team/pods/pod-0/log":
            return self.pod_log(options)
        *_, kind, name = path.split("/")
        return refusal(404, "NotFound", f'{kind}.trainer.kubeflow.org "{name}" not found')


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_GET(self) -> None:
        self._say(*self.cluster.answer(*self._split()))

    def do_POST(self) -> None:
        path, options = self._split()
        assert path == f"{GROUP}/namespaces/team/trainjobs"
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(*self.cluster.create(job, options.get("dryRun") == "All"))

    def do_DELETE(self) -> None:
        name = self.path.rpartition("/")[2]
        self.cluster.deleted.append(name)
        if self.cluster.jobs.pop(name, None) is None:
            self._say(*refusal(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{name}" not found'))
        else:
            self._say(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _split(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}

    def _say(self, status: int, answer: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.end_headers()
        self.wfile.write((answer if isinstance(answer, str) else json.dumps(answer)).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve() -> Iterator[Cluster]:
    """The API of an empty cluster."""
    state = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"cluster": state}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def client(url: str) -> Any:
    """The SDK's client of a server."""
    connection = Configuration(host=url)
    connection.retries = False
    return TrainerClient(KubernetesBackendConfig(namespace="team", client_configuration=connection))
