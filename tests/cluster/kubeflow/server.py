"""Kubeflow's API with state, for tests: `kfp_server_api`'s models check every request, answers are made of them.

What it does is what the backend's source does (kubeflow/pipelines 2.17.0, backend/src/apiserver). Where an answer would
surprise a reader, a comment names the file.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.cluster.kubeflow.checks import CLIENT, Refused, Request
from tests.cluster.kubeflow.pipelines import Pipelines
from tests.cluster.kubeflow.schedules import Schedules


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


class ApiServer(Pipelines, Schedules):
    """A server on this machine; use it as a context. `Backend` has more settings.

    Attributes:
        token: what a request has to carry; empty for nothing.
        faults: see `Fault`.
        requests: all so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
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

    def health(self, request: Request) -> Any:
        return {
            "commit_sha": "unknown",
            "tag_name": self.version,
            "multi_user": self.multi_user,
            "pipeline_store": "database",
        }


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
