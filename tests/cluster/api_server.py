"""Kubeflow's API with state, for tests: `kfp_server_api`'s models check every request, answers are made of them.

What it does is what the backend's source does (kubeflow/pipelines 2.17.0, backend/src/apiserver). Where an answer would
surprise a reader, a comment names the file.
"""

import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kfp_server_api as kfp

from tests.cluster.api_checks import CLIENT, Refused, Request, checked, checked_package, page
from tests.cluster.fake_workflow import Ends, FakeWorkflow

BEGINNING = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """What happens to the next requests that it concerns.

    Attributes:
        method, path: a request's method, and a part of its path; empty for any.
        status: of an error; 0 for none.
        cut: the connection ends: "before" anything is done, or "after".
        seconds: to wait first.
        page: what to answer with status 200 instead, such as HTML.
        times: how often.
    """

    method: str = ""
    path: str = ""
    status: int = 0
    cut: str = ""
    seconds: float = 0.0
    page: str = ""
    times: int = 1000


@dataclass
class State:
    """Everything that the server keeps, each by its id, the oldest first."""

    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    schedules: dict[str, Any] = field(default_factory=dict)
    #: Runs whose workflow was deleted: they stay as they were for ever.
    lost: set[str] = field(default_factory=set)


class ApiServer:
    """A server on this machine; use it as a context.

    Attributes:
        token: what a request has to carry; empty for nothing.
        version: what it says it is; `unknown` for one that was built from a branch.
        account: what it fills in where no service account is named.
        outcome: the state that runs end in. A run goes one state further whenever it is looked at.
        ends: task key -> how it ends, where it does not just succeed.
        stuck: whether a run stays in its second state, as long tasks do.
        dashboard: whether it answers as behind the dashboard's server, which passes on v1beta1 and v2beta1 alone
            (frontend/server/app.ts).
        faults: see `Fault`.
        requests: all so far.
    """

    def __init__(self) -> None:
        self.state = State()
        self.token = ""
        self.version = "2.17.0"
        self.account = "pipeline-runner"
        self.outcome = "SUCCEEDED"
        self.ends: dict[str, Ends] = {}
        self.stuck = False
        self.dashboard = False
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self._clock = BEGINNING
        self._lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            api = owner

        self.http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> "ApiServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Listen no more; what is being answered goes on."""
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests of a method whose path ends so."""
        return [one for one in self.requests if one.method == method and one.path.endswith(path)]

    def fault(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for one in list(self.faults):
                if one.method in ("", request.method) and one.path in request.path:
                    self.faults.remove(one)
                    if one.times > 1:
                        self.faults.append(Fault(**{**vars(one), "times": one.times - 1}))
                    return one
        return None

    def answer(self, request: Request) -> Any:
        """What the backend answers; a model, or None for an empty object.

        Raises:
            Refused: when it is an error.
        """
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "Request header error: there is no user identity header.")
        path = request.path.partition("/apis/")[2].removeprefix("v2beta1/") or request.path
        if self.dashboard and path.startswith("v1alpha1/"):
            raise Refused(404, f"Cannot GET {request.path}")
        for method, pattern, function in _ROUTES:
            found = re.fullmatch(pattern, path)
            if method == request.method and found:
                with self._lock:
                    return function(self, request, *found.groups())
        raise Refused(404, f"Not Found: {request.method} {request.path}")

    def now(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock

    def health(self, request: Request) -> Any:
        return {"commit_sha": "unknown", "tag_name": self.version, "multi_user": False, "pipeline_store": "database"}

    # ------------------------------------------------------------------------------------------ pipelines

    def pipeline_named(self, request: Request, name: str) -> Any:
        found = [one for one in self.state.pipelines.values() if one.name == name]
        if not found:
            raise Refused(404, f"Failed to get pipeline by name {name}: record not found")
        return found[0]

    def create_pipeline(self, request: Request) -> Any:
        body = checked("V2beta1Pipeline", request.json)
        if not body.name or any(one.name == body.name for one in self.state.pipelines.values()):
            raise Refused(409, f"Already exist error: the name {body.name} already exist")
        if len(body.name) > 128:
            raise Refused(500, "InternalServerError: Error 1406 (22001): Data too long for column 'Name' at row 1")
        body.pipeline_id, body.created_at = str(uuid.uuid4()), self.now()
        self.state.pipelines[body.pipeline_id] = body
        return body

    def get_version(self, request: Request, pipeline_id: str, version_id: str) -> Any:
        found = self.state.versions.get(version_id)
        if found is None or found.pipeline_id != pipeline_id:
            raise Refused(404, f"PipelineVersion {version_id} not found")
        return found

    def versions_of(self, request: Request, pipeline_id: str) -> Any:
        if pipeline_id not in self.state.pipelines:
            raise Refused(404, f"Pipeline {pipeline_id} not found")
        own = [one for one in self.state.versions.values() if one.pipeline_id == pipeline_id]
        return page(request, own, kfp.V2beta1ListPipelineVersionsResponse, "pipeline_versions")

    def upload_version(self, request: Request) -> Any:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = message_from_bytes(head + request.body).get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        if not str(part.get_filename()).endswith((".yaml", ".yml", ".json")):
            raise Refused(400, "Failed to create a pipeline version")  # server/util.go
        whole = checked_package(part.get_payload(decode=True))
        query = request.query
        if query.get("pipelineid") not in self.state.pipelines:
            raise Refused(400, "Failed to create a pipeline version")
        same = [one for one in self.state.versions.values() if one.pipeline_id == query["pipelineid"]]
        if query["name"] in [one.name for one in same]:
            raise Refused(409, "Failed to create a pipeline version")
        made = kfp.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=str(uuid.uuid4()),
            name=query["name"],
            display_name=query["display_name"],
            created_at=self.now(),
            pipeline_spec=whole,
        )
        self.state.versions[made.pipeline_version_id] = made
        return made

    # ------------------------------------------------------------------------------------------ experiments, runs

    def list_experiments(self, request: Request) -> Any:
        found = list(self.state.experiments.values())
        return page(request, found, kfp.V2beta1ListExperimentsResponse, "experiments")

    def create_experiment(self, request: Request) -> Any:
        body = checked("V2beta1Experiment", request.json)
        if any(one.display_name == body.display_name for one in self.state.experiments.values()):
            raise Refused(409, "Already exist error")
        body.experiment_id, body.created_at = str(uuid.uuid4()), self.now()
        self.state.experiments[body.experiment_id] = body
        return body

    def _check_run(self, body: Any) -> None:
        used = body.pipeline_version_reference
        version = self.state.versions.get(used.pipeline_version_id) if used else None
        if version is None or version.pipeline_id != used.pipeline_id:
            raise Refused(404, "Failed to find the pipeline version")
        if body.experiment_id not in self.state.experiments:
            raise Refused(404, "Failed to find the experiment")
        if not body.display_name:
            raise Refused(400, "The name is empty")
        root = version.pipeline_spec["pipeline_spec"]["root"]
        known = root.get("inputDefinitions", {}).get("parameters", {})
        unknown = (body.runtime_config.parameters or {}).keys() - known.keys()
        if unknown:
            raise Refused(400, f"Unknown parameters {sorted(unknown)}")

    def create_run(self, request: Request) -> Any:
        return self._add_run(checked("V2beta1Run", request.json))

    def _add_run(self, body: Any) -> Any:
        self._check_run(body)
        body.run_id, body.created_at = str(uuid.uuid4()), self.now()
        self._enter(body, "PENDING")
        body.service_account = body.service_account or self.account
        body.finished_at = datetime(1970, 1, 1, tzinfo=UTC)  # what the backend says of a run that goes on
        self.state.runs[body.run_id] = body
        return body

    def _enter(self, run: Any, state: str) -> None:
        """`error` stays empty, that of the run and those of its history (server/api_converter.go)."""
        run.state = state
        entered = kfp.V2beta1RuntimeStatus(update_time=self.now(), state=state)
        run.state_history = [*(run.state_history or []), entered]

    def start_scheduled(self, schedule_id: str, name: str) -> Any:
        """A run as the schedule's controller starts it."""
        owner = self.state.schedules[schedule_id]
        made = kfp.V2beta1Run(
            display_name=name,
            experiment_id=owner.experiment_id,
            recurring_run_id=schedule_id,
            pipeline_version_reference=owner.pipeline_version_reference,
            runtime_config=owner.runtime_config,
        )
        self._enter(self._add_run(made), "RUNNING")
        return made

    def get_run(self, request: Request, run_id: str) -> Any:
        run = self._run(run_id)
        after = {"PENDING": "RUNNING", "RUNNING": self.outcome, "CANCELING": "FAILED"}.get(run.state)
        if after is None or run_id in self.state.lost or (self.stuck and run.state == "RUNNING"):
            return run
        self._enter(run, after)
        if after == self.outcome:
            run.finished_at = run.created_at + timedelta(minutes=3, seconds=7)
        return run

    def _run(self, run_id: str) -> Any:
        run = self.state.runs.get(run_id)
        if run is None:
            raise Refused(404, f"Run {run_id} not found")
        return run

    def terminate_run(self, request: Request, run_id: str) -> None:
        run = self._run(run_id)
        if run.state not in ("PENDING", "RUNNING"):
            raise Refused(400, f"Failed to terminate a run {run_id}. Row not found")  # storage/run_store.go
        self._enter(run, "CANCELING")
        if run_id in self.state.lost:
            raise Refused(500, f"Failed to terminate run {run_id} due to error terminating its workflow")

    def workflow(self, run_id: str) -> tuple[FakeWorkflow, str]:
        """The workflow of a run, and its manifest; empty before anything has run."""
        run = self._run(run_id)
        built = FakeWorkflow(run.created_at)
        if run.state == "PENDING":
            return built, ""
        version = self.state.versions[run.pipeline_version_reference.pipeline_version_id]
        tasks = version.pipeline_spec["pipeline_spec"]["root"]["dag"]["tasks"]
        left = dict(tasks)
        phase = "Running" if run.state == "RUNNING" else run.state.capitalize()
        if "" in self.ends:
            built.fail_to_start(self.ends[""].message)
            return built, built.manifest("Error")
        failed = False
        while left and not (failed and run.state == "RUNNING"):
            key = next(one for one, task in left.items() if not set(task.get("dependentTasks", ())) & left.keys())
            ends = Ends("Omitted") if failed else self.ends.get(key, Ends())
            built.add(key, left.pop(key), ends)
            failed = failed or ends.how in ("Failed", "Running", "Pending")
        return built, built.manifest(phase)

    def get_run_v1(self, request: Request, run_id: str) -> Any:
        manifest = self.workflow(run_id)[1]
        return {"run": {"id": run_id}, "pipeline_runtime": {"workflow_manifest": manifest} if manifest else {}}

    def dashboard_log(self, request: Request) -> str:
        return self.log(request, request.query["runid"], request.query["podname"])

    def log(self, request: Request, run_id: str, pod: str) -> str:
        """Status 200 has been sent before anything can go wrong (server/run_log_server.go)."""
        if run_id in self.state.runs and run_id not in self.state.lost:
            found = self.workflow(run_id)[0].logs.get(pod)
            if found is not None:
                return found
        why = f"BadRequestError: Failed to read logs for run {run_id}: the specified key does not exist"
        return json.dumps({"error_message": why, "error_details": why}, separators=(",", ":"))

    def list_runs(self, request: Request) -> Any:
        found = list(self.state.runs.values())
        wanted = request.query.get("experiment_id")
        return page(
            request,
            [one for one in found if wanted in (None, one.experiment_id)],
            kfp.V2beta1ListRunsResponse,
            "runs",
        )

    # ------------------------------------------------------------------------------------------ schedules

    def create_schedule(self, request: Request) -> Any:
        body = checked("V2beta1RecurringRun", request.json)
        self._check_run(body)
        if not 1 <= int(body.max_concurrency) <= 10:
            raise Refused(400, f"Max concurrency must be at least 1 and at most 10. Received {body.max_concurrency}")
        cron = body.trigger.cron_schedule
        if cron and len(cron.cron.split()) not in (5, 6):  # as robfig/cron, which takes five for six without the last
            raise Refused(400, f"Schedule cron is not a supported format: {cron.cron}")
        if (body.trigger.periodic_schedule is None) == (cron is None):
            raise Refused(400, "One trigger is needed")
        body.recurring_run_id, body.created_at = str(uuid.uuid4()), self.now()
        body.service_account = body.service_account or self.account  # template/template.go
        body.status = "ENABLED" if body.mode == "ENABLE" else "DISABLED"
        self.state.schedules[body.recurring_run_id] = body
        return body

    def list_schedules(self, request: Request) -> Any:
        wanted = request.query.get("experiment_id")
        found = [one for one in self.state.schedules.values() if wanted in (None, one.experiment_id)]
        return page(request, found, kfp.V2beta1ListRecurringRunsResponse, "recurring_runs")

    def delete_schedule(self, request: Request, schedule_id: str) -> None:
        """Kubernetes deletes the workflows that a schedule owns with it, unless they are orphaned."""
        if self.state.schedules.pop(schedule_id, None) is None:
            raise Refused(404, f"Job {schedule_id} not found")
        knows = tuple(map(int, self.version.split(".")[:2])) >= (2, 16) if self.version[0].isdigit() else True
        if knows and request.query.get("propagation_policy") == "ORPHAN":
            return
        self.state.lost |= {
            key
            for key, run in self.state.runs.items()
            if run.recurring_run_id == schedule_id and run.state in ("PENDING", "RUNNING")
        }

    def get_schedule(self, request: Request, schedule_id: str) -> Any:
        if schedule_id not in self.state.schedules:
            raise Refused(404, f"Job {schedule_id} not found")
        return self.state.schedules[schedule_id]

    def disable_schedule(self, request: Request, schedule_id: str) -> None:
        if schedule_id not in self.state.schedules:
            raise Refused(404, f"Job {schedule_id} not found")
        self.state.schedules[schedule_id].status = "DISABLED"


_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "healthz", ApiServer.health),
    ("GET", r"pipelines/names/([^/]+)", ApiServer.pipeline_named),
    ("POST", "pipelines", ApiServer.create_pipeline),
    ("POST", "pipelines/upload_version", ApiServer.upload_version),
    ("GET", r"pipelines/([^/]+)/versions", ApiServer.versions_of),
    ("GET", r"pipelines/([^/]+)/versions/([^/]+)", ApiServer.get_version),
    ("GET", "experiments", ApiServer.list_experiments),
    ("POST", "experiments", ApiServer.create_experiment),
    ("GET", "runs", ApiServer.list_runs),
    ("POST", "runs", ApiServer.create_run),
    ("GET", r"runs/([^/:]+)", ApiServer.get_run),
    ("POST", r"runs/([^/:]+):terminate", ApiServer.terminate_run),
    ("GET", r"v1beta1/runs/([^/:]+)", ApiServer.get_run_v1),
    ("GET", ".*/k8s/pod/logs", ApiServer.dashboard_log),
    ("GET", r"v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", ApiServer.log),
    ("GET", "recurringruns", ApiServer.list_schedules),
    ("POST", "recurringruns", ApiServer.create_schedule),
    ("POST", r"recurringruns/([^/:]+):disable", ApiServer.disable_schedule),
    ("GET", r"recurringruns/([^/:]+)", ApiServer.get_schedule),
    ("DELETE", r"recurringruns/([^/:]+)", ApiServer.delete_schedule),
]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that has left before the answer


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer

    def parse_request(self) -> bool:
        """Every method is served by the one function below."""
        understood = super().parse_request()
        setattr(self, f"do_{self.command}", self._serve)
        return understood

    def _serve(self) -> None:
        parts = urlsplit(self.path)  # whole where the request is to a proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), self.headers, body)
        fault = self.api.fault(request) or Fault()
        time.sleep(fault.seconds)
        if fault.page:
            self._send(200, fault.page.encode(), "text/html")
            return
        if fault.cut == "before":
            return
        try:
            if fault.status:
                raise Refused(fault.status, "as the test wants it")
            answer = self.api.answer(request)
        except Refused as refused:
            # As the gateway words it; the upload service has words of its own.
            word = "error_message" if "upload" in request.path else "message"
            content = {word: str(refused), "code": 3, "details": []}
            self._send(refused.status, json.dumps(content).encode())
            return
        if fault.cut == "after":
            return
        if isinstance(answer, str):
            self._send(200, answer.encode(), "text/plain")
            return
        content = CLIENT.sanitize_for_serialization(answer) if answer is not None else {}
        self._send(200, json.dumps(content).encode())

    def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
