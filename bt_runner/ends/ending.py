"""Worker process: end a run before its time, because its caller says so or is gone."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Any

from bt_core.errors import WorldError
from bt_runner.containers import remove_containers
from bt_runner.ends.processes import kill_below
from bt_runner.ends.recorder import Recorder

#: What is recorded where the caller did not say why it ended.
UNTOLD = "The run was stopped: its process was killed."


class Ending:
    """Kills the tasks, removes their containers, has the end recorded in MLflow, and ends this process; in this order.

    What this process leaves behind is for the guard (`bt_runner.ends.guard`).
    """

    def __init__(self, recorder: Recorder | None, containers: Mapping[str, Any] | None) -> None:
        self._recorder, self._containers = recorder, containers
        self._has_begun = threading.Event()
        self._stage, self._started = "", 0.0

    def watch(self, lifeline: FileIO) -> None:
        """Begin when the caller sends a line with the reason, or closes its end of the pipe, as it does when killed."""
        threading.Thread(target=self._end_after, args=(lifeline,), daemon=True).start()

    @contextmanager
    def task(self, label: str) -> Iterator[None]:
        """The block in which a task runs. Once the end has begun it is never entered, and never left."""
        self._stay_if_begun()
        self._stage, self._started = label, time.time()
        try:
            yield
        finally:
            self._stay_if_begun()
            self._stage = ""

    def _stay_if_begun(self) -> None:
        if self._has_begun.is_set():
            threading.Event().wait()  # until the thread that ends this process does so

    def _end_after(self, lifeline: FileIO) -> None:
        line = lifeline.readline()
        self._has_begun.set()
        recorder = self._recorder.ready() if self._recorder else 0
        kill_below(os.getpid(), {recorder})
        if self._containers:  # they are no processes of ours
            with suppress(WorldError):
                remove_containers(self._containers["run"])
        if self._recorder and recorder:
            sentence = json.loads(line)["sentence"] if line else UNTOLD
            stage = {"stage": self._stage, "started": self._started} if self._stage else {}
            self._recorder.record({"status": "KILLED", "sentence": sentence, **stage})
        os.kill(os.getpid(), signal.SIGKILL)
