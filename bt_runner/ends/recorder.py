"""A process that is forked from the task server as soon as that has imported MLflow, and then waits.

When a run is stopped, it tells MLflow so at once: importing MLflow alone would take longer than a run has to end.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from bt_core.errors import TrackingError

#: Seconds in which MLflow has to answer.
PATIENCE = 1.0


def start_recorder(worker: socket.socket, control: socket.socket) -> None:
    """Start the process.

    Args:
        worker: a connection to the worker process (`Recorder`), closed here.
        control: the task server's own connection, which the new process must not keep open.
    """
    if os.fork():
        worker.close()
        return
    try:
        control.close()
        _serve(worker)
    finally:
        os._exit(0)


def _serve(worker: socket.socket) -> None:
    worker.sendall(f"{os.getpid()}\n".encode())
    line = worker.makefile(encoding="utf-8").readline()
    if not line:
        return
    import bt_tracking

    with suppress(TrackingError):  # the next run in the same store records it
        bt_tracking.end_run(**json.loads(line), retry_seconds=PATIENCE)
    worker.sendall(b"done\n")


class Recorder:
    """The worker process's side."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(PATIENCE)

    def ready(self) -> int:
        """The id of the process that waits; 0 where there is none, or not yet."""
        self._connection.setblocking(False)
        try:
            return int(self._connection.recv(32) or b"0")
        except OSError:
            return 0
        finally:
            self._connection.settimeout(PATIENCE)

    def record(self, end: Mapping[str, object]) -> None:
        """Record the end of the run (the arguments of `bt_tracking.end_run`), and wait until it is done."""
        with suppress(OSError):
            self._connection.sendall(json.dumps(end).encode() + b"\n")
            self._connection.recv(32)
