"""An HTTP server in front of MLflow that goes away after so many requests, as a server in mid-run does."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Counter:
    """How many requests may still pass."""

    def __init__(self, left: int) -> None:
        self._left, self._lock = left, threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def stop(self) -> None:
        """Let none pass from now on."""
        with self._lock:
            self._left = 0

    @property
    def is_spent(self) -> bool:
        return self._left < 0


@contextmanager
def failing_after(requests: int, target: str) -> Iterator[tuple[str, Counter]]:
    """The address of a proxy that passes that many requests on and cuts every later one, and its counter."""
    host, counter = urlsplit(target).netloc, Counter(requests)

    class Proxy(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not counter.take():
                self.close_connection = True
                self.request.shutdown(socket.SHUT_RDWR)
                return
            upstream = http.client.HTTPConnection(host, timeout=60)
            upstream.request(self.command, self.path, body, {**self.headers, "Host": host})
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response(answer.status)
            kept = [header for header in answer.getheaders() if header[0].lower() not in _OF_THE_CONNECTION]
            for name, value in [*kept, ("Content-Length", str(len(content)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Proxy, f"do_{method}", Proxy.pass_on)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", counter
        finally:
            server.shutdown()
