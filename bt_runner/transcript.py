"""Caller's side: keep the output of the worker process in run.log, pass its events on, and find the error in it."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bt_core.errors import ERROR_MARK, BtError, UserError, WorldError
from bt_runner.events import OnEvent, RunWarning, TaskEnded, TaskOutput, TaskStarted
from bt_runner.messages import Kind, read

#: What sets a task's lines apart from Kubeflow's in the log.
TASK_INDENT = "    "
#: How many lines of its output stand in the error of a task that left no sentence.
LAST_LINES = 3

_SENTENCE = re.compile(rf"{ERROR_MARK} (\d+): (.+)")
_COLOUR = re.compile(r"\x1b\[\d+m")


class Transcript:
    """Takes in one run's output, line by line.

    Attributes:
        log: the file that every line is appended to.
        tasks: the tasks that succeeded, by label.
        failed: the label of the task that failed, or None.
    """

    def __init__(self, log: Path, on_event: OnEvent) -> None:
        self.log = log
        self.tasks: dict[str, TaskEnded] = {}
        self.failed: str | None = None
        self._on_event = on_event
        self._running = ""
        self._task_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._other_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._sentence: tuple[int, str] | None = None

    def follow(self, lines: Iterable[str]) -> None:
        """Read the lines of the worker process until it ends. A log that cannot be written is given up."""
        with self._log() as write:
            for line in lines:
                message = read(line)
                if message is None:
                    write(self._take_other(_COLOUR.sub("", line)))
                elif message[0] is Kind.LINE:
                    write(self._take_line(**message[1]))
                elif message[0] is Kind.WARNING:
                    write(self._warn(**message[1]))
                elif message[0] is Kind.STARTED:
                    self._start(**message[1])
                else:
                    self._end(**message[1])

    @contextmanager
    def _log(self) -> Iterator[Callable[[str], None]]:
        """What writes to the log. Nothing is buffered, which a full disk would refuse again when the file is closed."""
        with self.log.open("ab", buffering=0) as log:
            is_usable = True

            def write(text: str) -> None:
                nonlocal is_usable
                if is_usable:
                    try:
                        log.write(text.encode("utf-8"))
                    except OSError as error:
                        is_usable = False
                        self._warn(f"{self.log} cannot be written ({error.strerror}), and the run goes on without it.")

            yield write

    def _warn(self, sentence: str) -> str:
        """Pass on a warning, and return what to write to the log."""
        self._on_event(RunWarning(sentence))
        return f"warning: {sentence}\n"

    def error(self) -> BtError:
        """The error that ended the run: the task's own sentence, or else the end of its output."""
        if self._sentence:
            status, sentence = self._sentence
            return (UserError if status == UserError.exit_status else WorldError)(sentence)
        task = self.failed or self._running  # where the worker process was killed, the task did not even end
        where = f"The task {task}" if task else "The pipeline"
        last = " | ".join(self._task_lines or self._other_lines) or "nothing"
        return WorldError(f"{where} failed without naming a reason; its output ended with: {last}. See {self.log}.")

    def _take_other(self, line: str) -> str:
        """Take in a line of Kubeflow's or Python's own, and return what to write to the log."""
        self._look_for_sentence(line)
        if line.strip():
            self._other_lines.append(line.strip())
        return line

    def _take_line(self, line: str, text: str) -> str:
        """Take in a line of the running task, and return what to write to the log."""
        line, text = (_COLOUR.sub("", version) for version in (line, text))
        self._look_for_sentence(line)
        if text.strip():
            self._task_lines.append(text.strip())
            self._on_event(TaskOutput(self._running, text))
        return f"{TASK_INDENT}{line}\n"

    def _look_for_sentence(self, line: str) -> None:
        sentence = _SENTENCE.search(line)
        if sentence and self.failed is None:
            self._sentence = int(sentence[1]), sentence[2].rstrip()

    def _start(self, label: str, title: str) -> None:
        self._running = label
        self._task_lines.clear()
        if self.failed is None:  # an exit handler follows a task that failed
            self._sentence = None
        self._on_event(TaskStarted(label, title))

    def _end(self, artifacts: dict[str, str], **details: Any) -> None:
        self._running = ""
        task = TaskEnded(artifacts={name: Path(path) for name, path in artifacts.items()}, **details)
        if task.ok:
            self.tasks[task.label] = task
        else:
            self.failed = self.failed or task.label
        self._on_event(task)
