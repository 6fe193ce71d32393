"""An HTTP proxy that does to a real server's answers what networks and failing servers do."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.serving import serving

Fault = Literal["none", "busy", "lost", "cut", "altered"]
"""What happens to a request.

busy: it is answered with 503 and goes no further. lost: the server does it, and the connection ends without an answer.
cut: the connection ends in the middle of the answer's body. altered: one byte of the answer's body is another.
"""


@dataclass
class Proxy:
    """`faults` are for the next requests, in their order; then comes `always`."""

    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    always: Fault = "none"
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Fault:
        with self.lock:
            self.requests += 1
            return self.faults.pop(0) if self.faults else self.always


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of an http endpoint; requests arrive there as they were signed."""
    proxy = Proxy()
    methods = {f"do_{method}": _Handler.relay for method in ("GET", "HEAD", "PUT", "POST", "DELETE")}
    handler = type("Handler", (_Handler,), methods | {"proxy": proxy, "upstream": urlsplit(upstream).netloc})
    with serving(handler) as proxy.endpoint:
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    upstream: str

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.next()
        if fault == "busy":
            self._answer(503, [], b"")
            return
        status, headers, content = self._ask(body)
        if fault == "lost":
            self.close_connection = True
        elif fault == "cut":
            self._answer(status, headers, content, len(content) // 2)
            self.close_connection = True
        elif fault == "altered" and content:
            self._answer(status, headers, bytes([content[0] ^ 1]) + content[1:])
        else:
            self._answer(status, headers, content)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])

    def log_message(self, *_: Any) -> None:
        pass
