"""Disturbances of an endpoint: answers that are missing, cut, late or of another form."""

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.chaos.place import Ended
from tests.chaos.trial import Trial
from tests.serving import serving

#: How an answer can go wrong; each is what some endpoint does now and then.
FAULTS = (
    "no choices",
    "null content",
    "empty body",
    "error with 200",
    "length",
    "content_filter",
    "not JSON",
    "cut",
    "closed",
    "late",
    "429",
    "500",
    "another form",
)
TIMEOUT = 2.0


@dataclass
class Oracle:
    """Answers every prompt with a label that depends on the prompt alone; a share of the answers goes wrong."""

    chance: random.Random
    share: float = 0.0
    #: After so many answers the endpoint is gone; 0: it stays.
    dies_after: int = 0
    answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self) -> str:
        with self.lock:
            self.answers += 1
            if self.dies_after and self.answers > self.dies_after:
                return "closed"
            return self.chance.choice(FAULTS) if self.chance.random() < self.share else ""


@dataclass
class Endpoint:
    """One address, at which one oracle after the other answers. `undisturbed`: how many answers a run takes."""

    oracle: Oracle
    address: str = ""
    undisturbed: int = 0


@contextmanager
def endpoint(_: Path) -> Iterator[Endpoint]:
    """A chat endpoint on this machine."""
    at = Endpoint(Oracle(random.Random(0)))
    with serving(type("Handler", (_Handler,), {"at": at})) as address:
        at.address = f"{address}/v1"
        yield at


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    at: Endpoint

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "oracle"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        fault = self.at.oracle.fault()
        content = _answer(body)
        if fault in ("429", "500"):
            self._send(int(fault), {"error": {"message": "not now"}})
        elif fault == "error with 200":
            self._send(200, {"error": {"message": "the model is overloaded", "code": 503}})
        elif fault == "not JSON":
            self._write(200, b"<html>It works!</html>")
        elif fault == "empty body":
            self._write(200, b"")
        elif fault == "another form":
            self._send(200, {"result": content})
        elif fault == "closed":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "cut":
            self._write(200, json.dumps(_completion(content, "stop")).encode(), sent=30)
        else:
            if fault == "late":
                time.sleep(TIMEOUT + 0.5)
            self._send(200, _faulty(content, fault))

    def _send(self, status: int, value: Any) -> None:
        self._write(status, json.dumps(value).encode())

    def _write(self, status: int, data: bytes, sent: int | None = None) -> None:
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:sent])
        except OSError:
            pass  # nobody waits for it any more
        self.close_connection = self.close_connection or sent is not None


def _answer(body: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).digest()
    form = body.get("response_format")
    if form is None:
        return "an instruction"
    labels = form["json_schema"]["schema"]["properties"]["answer"]["enum"]
    return json.dumps({"answer": labels[digest[0] % len(labels)]})


def _completion(content: str | None, reason: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}
    return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}


def _faulty(content: str, fault: str) -> dict[str, Any]:
    if fault == "no choices":
        return {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}
    if fault == "null content":
        return _completion(None, "stop")
    if fault == "length":
        return _completion(content[:3], "length")
    if fault == "content_filter":
        return _completion("", "content_filter")
    return _completion(content, "stop")


def faulty_answers(trial: Trial) -> None:
    """Prompt search at an endpoint of which a share of the answers goes wrong; then at a healthy one."""
    share = trial.chance.choice([0.02, 0.1, 0.25, 0.5])
    trial.done.append(f"{share:.0%} of the answers go wrong")
    _disturb(trial, Oracle(trial.chance, share=share))


def endpoint_that_dies(trial: Trial) -> None:
    """Prompt search at an endpoint that is gone after some answers; then at a healthy one, which is asked the rest."""
    dies_after = trial.chance.randint(1, 120)
    trial.done.append(f"gone after {dies_after} answers")
    oracle = Oracle(trial.chance, dies_after=dies_after)
    asked = _disturb(trial, oracle)
    if oracle.answers > dies_after and asked["again"] > asked["undisturbed"] - dies_after:
        trial.faults.append(("paid", f"{asked} requests, {dies_after} of which had been answered"))


def _disturb(trial: Trial, oracle: Oracle) -> dict[str, int]:
    """A run at the oracle, and the same at a healthy one; returns how often the healthy ones were asked."""
    at = trial.place.shared(endpoint)
    settings = ("engine.kind=server", "engine.protocol=chat", f"engine.url={at.address}", "engine.served_as=oracle")
    limits = ("engine.retries=2", f"engine.timeout={TIMEOUT}", "engine.concurrency=8")
    arguments = ("--strategy", "p", *(part for one in (*settings, *limits) for part in ("--set", one)))
    at.oracle = healthy = Oracle(trial.chance)
    reference = trial.place.reference(*arguments)
    undisturbed = at.undisturbed = at.undisturbed or healthy.answers
    at.oracle = oracle
    disturbed = trial.room.start(*arguments).end()
    trial.check_end(disturbed)
    trial.check_result(disturbed, reference, is_last=False, told=_tells(disturbed))
    at.oracle = healthy = Oracle(trial.chance)
    again = trial.room.start(*arguments).end()
    trial.check_end(again)
    trial.check_result(again, reference, is_last=True)
    trial.check_room()
    return {"again": healthy.answers, "undisturbed": undisturbed}


def _tells(ended: Ended) -> bool:
    """Whether the run's own files name requests that have no answer."""
    files = [*ended.folder.glob("artifacts/**/*.jsonl"), ended.folder / "results.jsonl"]
    return any('"error": "' in path.read_text(encoding="utf-8") for path in files if path.exists())
