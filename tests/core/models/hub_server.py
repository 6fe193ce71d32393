"""A server that speaks as much of the Hugging Face hub's protocol as a download needs, with faults on demand."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.serving import serving

NAME, COMMIT = "acme/tiny", "c0ffee" * 6 + "c0ff"


@dataclass
class Hub:
    """One model. Each request uses up one of `faults`, a status that it is answered with; `asked` are their paths."""

    files: dict[str, bytes]
    url: str = ""
    faults: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(self.path)
        if self.hub.faults:
            self._answer(self.hub.faults.pop(0), b"{}", {})
            return
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{NAME}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.hub.files.items()
            ]
            self._answer(200, json.dumps(entries).encode(), {})
        elif path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": name} for name in self.hub.files]
            self._answer(200, json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode(), {})
        elif path.startswith(f"/{NAME}/resolve/") and (data := self.hub.files.get(path.rpartition("/")[2])):
            self._answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            kind = "EntryNotFound" if path.startswith(f"/{NAME}/resolve/") else "RepoNotFound"
            self._answer(404, b"{}", {"X-Error-Code": kind})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def hub_server(folder: Path) -> Iterator[Hub]:
    """Serve the files of a folder as the model `NAME`, on a free port of this machine."""
    hub = Hub({path.name: path.read_bytes() for path in folder.iterdir()})
    handler = type("Handler", (_Handler,), {"hub": hub})
    with serving(handler) as hub.url:
        yield hub
