"""Caller's side: the events that a local run reports while it runs, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bt_core.records import StageReport
from bt_runtime.reports import read_reports


@dataclass(frozen=True)
class TaskStarted:
    """A task has started. `label` is its stage (`1.p`) or its name; `title` is its display name in Kubeflow's UI."""

    label: str
    title: str


@dataclass(frozen=True)
class TaskOutput:
    """A line that a task printed or logged; the lines of Kubeflow's executor are in run.log only."""

    label: str
    line: str


@dataclass(frozen=True)
class TaskEnded:
    """A task has ended; when `ok`, with the paths of its output artifacts and the values of its output parameters."""

    label: str
    title: str
    ok: bool
    seconds: float
    cached: bool = False
    artifacts: dict[str, Path] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def has_report(self) -> bool:
        """Whether the task has a report; an importer has none."""
        return bool(self.parameters.get("report") or self.parameters.get("Output"))

    @property
    def report(self) -> StageReport:
        """The report of the task's stage."""
        (report,) = self.reports
        return report

    @property
    def reports(self) -> list[StageReport]:
        """The reports of a task that may run several stages."""
        return read_reports([self.parameters.get("report") or self.parameters["Output"]])


@dataclass(frozen=True)
class RunWarning:
    """What goes wrong without ending the run."""

    sentence: str


Event = TaskStarted | TaskOutput | TaskEnded | RunWarning
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class LocalRun:
    """A run that succeeded: its tasks by label, in the order in which they ended, and the log that holds every line."""

    tasks: dict[str, TaskEnded]
    log: Path
    seconds: float
