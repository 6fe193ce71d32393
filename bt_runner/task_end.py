"""Process of a warm task: how it ends, which is quickly, and with its exit status reported before anything slow."""

import atexit
import gc
import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class QuickEnd:
    """Ends a task's process without freeing what the server had imported, which takes longer than a light task.

    It has to be created before anything else is imported: then it comes last at the interpreter's exit, after threads
    were joined and after the exit functions of libraries and of user code. Files that are still open are flushed, as
    Python does.
    """

    def __init__(self) -> None:
        self._status = 0
        self._process = 0
        self._worker: socket.socket | None = None
        atexit.register(self._leave)

    @contextmanager
    def report_to(self, worker: socket.socket) -> Iterator[None]:
        """Report this process's exit status to the worker process when it ends; the task runs within the block."""
        self._process, self._worker = os.getpid(), worker
        try:
            yield
        except BaseException as error:
            code = error.code if isinstance(error, SystemExit) else error
            self._status = code if isinstance(code, int) else int(code is not None)
            raise

    def _leave(self) -> None:
        # What the server had created is frozen and not among these objects.
        files = [value for value in gc.get_objects() if issubclass(type(value), io.IOBase) and not value.closed]
        for file in [*files, sys.stdout, sys.stderr]:
            with suppress(OSError):
                file.flush()
        if self._worker and self._process == os.getpid():  # not in a process that the task has forked
            close_output()
            with suppress(OSError):
                self._worker.sendall(f"{self._status}\n".encode())
        os._exit(self._status)


def close_output() -> None:
    """Close stdout and stderr, so that their reader sees their end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # whatever the task has put in the place of sys.stdout
        os.dup2(nowhere, stream)
    os.close(nowhere)
