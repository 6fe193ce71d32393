"""A web service on this machine, for tests of what calls one."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request; `body` is None for GET."""

    path: str
    headers: Message
    body: Any


@dataclass
class Service:
    """The requests to the service, and the status that it answers with."""

    url: str
    status: int = 200
    requests: list[Asked] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[Asked], Any]) -> Iterator[Service]:
    """A service that answers with what a function makes of the request, as JSON; a text is sent unchanged."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            service.requests.append(Asked(self.path, self.headers, body))
            found = answer(service.requests[-1])
            text = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(service.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
