"""JSON from a web service that answers badly, or whose address is none."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bt_core.errors import WorldError
from bt_core.web import ask_json


@contextmanager
def service(*answers: bytes) -> Iterator[str]:
    """The address of a service that gives these answers, byte for byte, one a connection."""
    left = list(answers)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(left.pop(0))

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/ask?key=secret"
        server.shutdown()


CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"a":'
WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}'


def test_an_answer_that_is_cut_is_asked_for_again() -> None:
    with service(CUT, b"no HTTP\r\n\r\n", WHOLE) as url:
        assert ask_json(url, "The judge", wait=0.01) == {"a": 1}


def test_answers_that_are_always_cut_are_a_sentence() -> None:
    with service(CUT, CUT) as url, pytest.raises(WorldError) as caught:
        ask_json(url, "The judge", tries=2, wait=0.01)
    assert str(caught.value).startswith("The judge at http://127.0.0.1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://host:port/x?key=secret", "http://host/a b?key=secret", "http://host/é?key=secret"]
)
def test_an_address_that_is_none_is_said_without_what_may_be_secret(url: str) -> None:
    with pytest.raises(WorldError, match=r"^The judge at .* cannot be used \(it is no address\)") as caught:
        ask_json(url, "The judge", wait=0.01)
    assert "secret" not in str(caught.value)
