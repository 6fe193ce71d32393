"""A run on Kubeflow while it goes on: a live table of its tasks on a terminal, a line for each change elsewhere."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bt_cli.view.console import stderr
from bt_cluster.api import Api
from bt_cluster.follow import Followed, Snapshot, failure
from bt_cluster.runs import Run
from bt_cluster.tasks import State, Task

REFRESHES_PER_SECOND = 4
#: Lines of the terminal that the table leaves free.
MARGIN = 3
_MARKS = {
    State.DONE: Text("✓", "green"),
    State.CACHED: Text("✓", "green"),
    State.FAILED: Text("✗", "red"),
    State.SKIPPED: Text("-", "dim"),
    State.WAITING: Text("·", "dim"),
}


class View(Protocol):
    """A display that is told of every snapshot."""

    def show(self) -> AbstractContextManager[object]: ...

    def tell(self, snapshot: Snapshot) -> None: ...


def watch(api: Api, run: Followed) -> None:
    """Show a run on stderr until it has ended.

    Raises:
        UserError: when Kubeflow refuses the call, or the run failed in a way that the user can correct.
        WorldError: when the run did not succeed otherwise, or Kubeflow could not be reached for minutes.
        SystemExit: with status 130 after Ctrl-C, which leaves the run going on.
    """
    console = stderr()
    view: View = LiveView(console) if console.is_terminal else PlainView(console)
    try:
        with view.show():
            for snapshot in run.follow(api):
                view.tell(snapshot)
    except KeyboardInterrupt:
        again = f"`bt runs {run.id} --wait` follows it again, `bt cancel {run.id}` ends it."
        console.print(f"The run goes on: {again}", markup=False)
        raise SystemExit(130) from None
    error = failure(api, snapshot)
    if error:
        raise error
    console.print(f"The run {snapshot.run.name} has succeeded.", markup=False)


class PlainView:
    """A line whenever a task's state changes, but for those that are left out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, tuple[State, str]] = {}

    def show(self) -> AbstractContextManager[object]:
        return nullcontext()

    def tell(self, snapshot: Snapshot) -> None:
        ended = _ended(snapshot.tasks)
        for task in snapshot.tasks:
            told = task.state, "" if task.state.has_ended else task.message
            if task.state in (State.WAITING, State.SKIPPED) or self._states.get(task.name) == told:
                continue
            self._states[task.name] = told
            self._console.print(f"[{ended}/{len(snapshot.tasks)}] {task.title}: {_words(task)}", markup=False)


class LiveView:
    """A table of all tasks, with running clocks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._snapshot: Snapshot | None = None
        self._spinner = Spinner("dots")

    def show(self) -> AbstractContextManager[object]:
        return Live(
            console=self._console, get_renderable=self._table, refresh_per_second=REFRESHES_PER_SECOND, transient=False
        )

    def tell(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def _table(self) -> RenderableType:
        if self._snapshot is None:
            return Text("")
        room = max(self._console.height - MARGIN, 1)
        return run_table(self._snapshot.run, self._snapshot.tasks, self._spinner, room)


def run_table(run: Run, tasks: Sequence[Task], busy: Spinner | Text, room: int | None = None) -> RenderableType:
    """A table of tasks and, below it, how far the run is.

    Args:
        run, tasks: what to show.
        busy: the mark of a task that has begun and not ended.
        room: the most rows; what would be further down or has ended longest ago is left out first.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()  # gives way first where the terminal is narrow
    for task in _visible(tasks, len(tasks) if room is None else room):
        seconds = "" if task.seconds is None or task.state is State.SKIPPED else _clock(task.seconds)
        message = Text("" if task.state.has_ended else task.message, style="dim", no_wrap=True, overflow="ellipsis")
        table.add_row(_MARKS.get(task.state, busy), Text(task.title), Text(task.state), Text(seconds), message)
    return Group(table, Text(f"   {_progress(run, tasks)}", style="dim"))


def _visible(tasks: Sequence[Task], room: int) -> list[Task]:
    begun = [task for task in tasks if task.state is not State.WAITING]
    waiting = [task for task in tasks if task.state is State.WAITING]
    shown = {task.name for task in (*begun[-room:], *waiting[: max(room - len(begun), 0)])}
    return [task for task in tasks if task.name in shown]


def _progress(run: Run, tasks: Sequence[Task]) -> str:
    parts = [run.state.lower(), f"{_ended(tasks)} of {len(tasks)} tasks"]
    for state, words in ((State.CACHED, "from the cache"), (State.SKIPPED, "skipped")):
        number = sum(task.state is state for task in tasks)
        parts += [f"{number} {words}"] if number else []
    return ", ".join([*parts, _clock(run.seconds or 0.0)])


def _ended(tasks: Sequence[Task]) -> int:
    return sum(task.state.has_ended and task.state is not State.SKIPPED for task in tasks)


def _words(task: Task) -> str:
    if not task.state.has_ended:
        return f"{task.state} ({task.message})" if task.message else f"{task.state} ..."
    words = "taken from the cache" if task.state is State.CACHED else str(task.state)
    return f"{words} after {_clock(task.seconds or 0.0)}"


def _clock(seconds: float) -> str:
    """`34 s`, `2:05`, `1:02:05`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
