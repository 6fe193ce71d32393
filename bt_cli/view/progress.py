"""The progress of a run: a live table on a terminal, plain lines elsewhere; always on stderr."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bt_core.config import step_kinds
from bt_core.progress import Position
from bt_core.records import StageReport
from bt_runner.events import Event, RunWarning, TaskEnded, TaskOutput, TaskStarted

REFRESHES_PER_SECOND = 4
#: Lines of the terminal that the table of tasks leaves free.
MARGIN = 3
#: Columns of the bar of a running task.
BAR = 20


class Progress(Protocol):
    """A display that is told of every event of a run."""

    #: Whether a task has ended successfully.
    is_under_way: bool

    def show(self) -> AbstractContextManager[object]:
        """A context in which the display is shown and events arrive."""
        ...

    def tell(self, event: Event) -> None:
        """Show an event."""
        ...


def progress_on(console: Console, total: int) -> Progress:
    """The progress display that suits the console; `total` is the number of tasks in the pipeline."""
    return LiveProgress(console, total) if console.is_terminal else PlainProgress(console, total)


class PlainProgress:
    """A line whenever a task starts or ends, and those in which a task says how far it is."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._started = 0
        self.is_under_way = False

    def show(self) -> AbstractContextManager[object]:
        return nullcontext()

    def tell(self, event: Event) -> None:
        if isinstance(event, TaskStarted):
            self._started += 1
            self._print(f"[{self._started}/{self._total}] {event.title} ...")
        elif isinstance(event, TaskOutput):
            if Position.read(event.line):
                self._print(f"[{self._started}/{self._total}] {event.line.strip()}")
        elif isinstance(event, TaskEnded):
            self.is_under_way |= event.ok
            parts = f"{_state(event)} after {event.seconds:.1f} s", _figures(event)
            self._print(f"[{self._started}/{self._total}] {event.title}: {', '.join(filter(None, parts))}")
            for warning in _warnings(event):
                self._print(f"warning: {warning}")
        elif isinstance(event, RunWarning):
            self._print(f"warning: {event.sentence}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


@dataclass
class _Row:
    title: str
    started: float = field(default_factory=time.monotonic)
    ended: TaskEnded | None = None
    last_line: str = ""

    @property
    def seconds(self) -> float:
        return self.ended.seconds if self.ended else time.monotonic() - self.started

    def cells(self, spinner: Spinner) -> tuple[Spinner | Text, Text, Text, RenderableType]:
        seconds = Text(f"{self.seconds:.1f} s", justify="right")
        if not self.ended:
            position = Position.read(self.last_line)
            return spinner, Text(self.title), seconds, _bar(position) if position else _dim(self.last_line)
        mark = Text("✓", "green") if self.ended.ok else Text("✗", "red")
        return mark, Text(self.title), seconds, Text(_figures(self.ended) or _state(self.ended))


class LiveProgress:
    """A table of the tasks so far, with a running clock and the last line of the running task."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._rows: dict[str, _Row] = {}
        self._spinner = Spinner("dots")
        self.is_under_way = False

    def show(self) -> AbstractContextManager[object]:
        return Live(
            console=self._console, get_renderable=self._table, refresh_per_second=REFRESHES_PER_SECOND, transient=False
        )

    def tell(self, event: Event) -> None:
        if isinstance(event, TaskStarted):
            self._rows[event.label] = _Row(event.title)
        elif isinstance(event, TaskOutput):
            self._rows[event.label].last_line = event.line.strip()
        elif isinstance(event, RunWarning):
            self._warn(event.sentence)
        else:
            self.is_under_way |= event.ok
            self._rows[event.label].ended = event
            for warning in _warnings(event):
                self._warn(warning)

    def _warn(self, sentence: str) -> None:
        self._console.print(Text(f"warning: {sentence}", style="yellow"))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(ratio=1)
        rows = list(self._rows.values())
        for row in rows[-max(self._console.height - MARGIN, 1) :]:  # a longer table would hide the running task
            table.add_row(*row.cells(self._spinner))
        done = sum(row.ended is not None for row in rows)
        table.add_row("", Text(f"{done} of {self._total} tasks", style="dim"))
        return table


def _bar(position: Position) -> Table:
    """A bar, what it counts, and the time that is left."""
    bar = ProgressBar(total=position.total, completed=position.done, width=BAR)
    count = f"{position.unit} {position.done:,} of {position.total:,}"
    table = Table.grid(padding=(0, 1))
    table.add_row(bar, _dim(f"{position.label}: {count}, {position.seconds_left:,} s left"))
    return table


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _state(event: TaskEnded) -> str:
    if not event.ok:
        return "failed"
    return "taken from the cache" if event.cached else "done"


def _warnings(event: TaskEnded) -> tuple[str, ...]:
    reports = event.reports if event.ok and event.has_report else ()
    return tuple(warning for report in reports for warning in report.warnings)


def _figures(event: TaskEnded) -> str:
    """The main figures of a task that just ended; of a task of several stages, those of steps and of test scores."""
    if not event.ok or not event.has_report:
        return ""
    first, *more = event.reports
    if not more or first.kind == "evaluate":
        return _stage_figures(first)
    told = [report for report in (first, *more) if report.kind == "score" or report.kind in step_kinds()]
    return "; ".join(f"{report.params.get('arm', report.stage)}: {_stage_figures(report)}" for report in told)


def _stage_figures(report: StageReport) -> str:
    metrics = report.metrics
    parts = []
    if "traces/total" in metrics:
        parts.append(f"{metrics['traces/kept']:.0f} of {metrics['traces/total']:.0f} traces kept")
    if "val/score" in metrics:
        before = f"{metrics['val/score_before']:.3f} -> " if "val/score_before" in metrics else ""
        parts.append(f"validation {before}{metrics['val/score']:.3f}")
    if "test/score" in metrics:
        parts.append(f"test {metrics['test/score']:.3f}")
    if "test/final" in metrics:
        parts.append(f"test {metrics['test/vanilla']:.3f} -> {metrics['test/final']:.3f}")
    if report.usage.calls:
        cached = f" ({report.usage.cached_calls} from the cache)" if report.usage.cached_calls else ""
        parts.append(f"{report.usage.calls} LM calls{cached}")
    return ", ".join(parts)
