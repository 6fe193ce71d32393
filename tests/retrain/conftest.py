"""The servers that a retraining speaks to, for real, and a tiny model."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.core.conftest import embedded_model, tiny_engine, tiny_folder, tiny_model
from tests.tracking.conftest import empty_store, environment, family, remote, server, store

__all__ = [
    "embedded_model",
    "empty_store",
    "environment",
    "family",
    "remote",
    "server",
    "store",
    "tiny_engine",
    "tiny_folder",
    "tiny_model",
]


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """MLflow's fluent functions leave variables behind."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@dataclass
class Webhook:
    """A server that takes posts, and what it was told."""

    url: str
    received: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    told: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield Webhook(f"http://127.0.0.1:{listening.server_port}/told", told)
        listening.shutdown()
