"""Both sides of a local run: the messages that the worker process writes to its stdout and that its caller reads.

A message is a line of JSON behind a mark. Every other line of that stdout is Kubeflow's or Python's own.
"""

import json
import sys
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

#: Starts a message; no program prints this control character by accident.
MARK = "\x1ebt-message "


class Kind(StrEnum):
    """What a message tells. `content` is what goes with it."""

    STARTED = "started"  # a task: label, title
    LINE = "line"  # of the running task: line, as it was printed; text, for people, empty where it is not for them
    WARNING = "warning"  # about the run: sentence
    ENDED = "ended"  # a task: label, title, ok, seconds, cached, artifacts, parameters


def send(kind: Kind, content: Mapping[str, Any]) -> None:
    """Write one message; not with `print`, which Kubeflow replaces while a task runs.

    When the caller is gone, this waits for the end of the process, which `bt_runner.ends.ending` is about to bring.
    """
    try:
        sys.stdout.write(MARK + json.dumps({"kind": kind, **content}) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        threading.Event().wait()


def read(line: str) -> tuple[Kind, dict[str, Any]] | None:
    """The message of a line and its content; None where the line is no message."""
    if not line.startswith(MARK):
        return None
    content = json.loads(line.removeprefix(MARK))
    return Kind(content.pop("kind")), content
