"""Read what the process of a local run prints: keep it in the log, tell the caller, and find the error in it."""

import json
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bt_core.errors import ERROR_MARK, BtError, UserError, WorldError
from bt_runner.events import OnEvent, TaskEnded, TaskOutput, TaskStarted

#: Starts a line of JSON that is an event; everything else is somebody's output.
EVENT_MARK = "\x1ebt-event "
#: kfp.local indents what tasks print.
TASK_INDENT = "    "
#: How much of a failed task's output is repeated when it left no sentence.
LAST_LINES = 3

_SENTENCE = re.compile(rf"{ERROR_MARK} (\d+): (.+)")
_KFP_LOG = re.compile(r"\[KFP Executor [^]]*\]: (.*)")
_KFP_CHATTER = ("Looking for component", "Loading KFP component", "Got executor_input", "Wrote executor output")
_STREAM_START = "Streamed logs:"
_COLOUR = re.compile(r"\x1b\[\d+m")


class Transcript:
    """One run's output, line by line.

    Attributes:
        log: the file that every line is appended to.
        tasks: the tasks that ended well, by label.
        failed: the label of the task that failed, or None.
    """

    def __init__(self, log: Path, on_event: OnEvent) -> None:
        self.log = log
        self.tasks: dict[str, TaskEnded] = {}
        self.failed: str | None = None
        self._on_event = on_event
        self._running: str | None = None
        self._task_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._other_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._streaming = False
        self._in_kfp_dump = False
        self._sentence: tuple[int, str] | None = None

    def follow(self, lines: Iterable[str]) -> None:
        """Take in lines until there are no more."""
        with self.log.open("a", encoding="utf-8", buffering=1) as log:
            for line in lines:
                if line.startswith(EVENT_MARK):
                    self._take_event(json.loads(line.removeprefix(EVENT_MARK)))
                    continue
                text = _COLOUR.sub("", line)
                log.write(text)
                self._take_output(text.rstrip())

    def error(self) -> BtError:
        """What went wrong: the task's own sentence, or else the end of its output."""
        if self._sentence:
            status, sentence = self._sentence
            return (UserError if status == UserError.exit_status else WorldError)(sentence)
        where = f"The task {self.failed}" if self.failed else "The pipeline"
        last = " | ".join(self._task_lines or self._other_lines) or "nothing"
        return WorldError(f"{where} failed without naming a reason; its output ended with: {last}. See {self.log}.")

    def _take_output(self, line: str) -> None:
        found = _SENTENCE.search(line)
        if found and self.failed is None:
            self._sentence = int(found[1]), found[2]
        if not line.startswith(TASK_INDENT):
            if line:  # the end of what a task printed, and perhaps the start of what the next one prints
                self._streaming = line.endswith(_STREAM_START)
                self._other_lines.append(line)
            return
        if not self._streaming:
            return
        text = self._without_kubeflow(line.removeprefix(TASK_INDENT))
        if self._running is not None and text.strip():
            self._task_lines.append(text.strip())
            self._on_event(TaskOutput(self._running, text))

    def _without_kubeflow(self, line: str) -> str:
        """The line as the task wrote it; empty for what KFP's executor says about itself."""
        if self._in_kfp_dump:
            self._in_kfp_dump = line != "}"
            return ""
        logged = _KFP_LOG.match(line)
        self._in_kfp_dump = logged is not None and logged[1].startswith("Got executor_input")
        if logged is None:
            return line
        return "" if logged[1].startswith(_KFP_CHATTER) else logged[1]

    def _take_event(self, event: dict[str, Any]) -> None:
        label, title = event["label"], event["title"]
        if event["event"] == "started":
            self._running = label
            self._task_lines.clear()
            self._in_kfp_dump = False
            if self.failed is None:  # an exit handler follows a task that failed
                self._sentence = None
            self._on_event(TaskStarted(label, title))
            return
        artifacts = {name: Path(path) for name, path in event["artifacts"].items()}
        details = {key: event[key] for key in ("ok", "seconds", "cached", "parameters")}
        ended = TaskEnded(label, title, artifacts=artifacts, **details)
        self._running = None
        if ended.ok:
            self.tasks[label] = ended
        else:
            self.failed = self.failed or label
        self._on_event(ended)
