"""A trial: what was done to runs, and what is wrong with how they ended."""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from tests.chaos.place import Ended, Place, Room

#: What can be wrong, each in words.
FAULTS = {
    "lost": "the run could not be brought to its end by the same command",
    "wrong": "a run ended well with another result, and did not say so",
    "paid": "answers that had arrived were asked for again",
    "traceback": "a run showed a traceback",
    "mute": "a run failed without a sentence",
    "processes": "a process was still there 2 s after the end",
    "files": "temporary files were left behind",
    "running": "MLflow shows a run that has ended as running, or a stage twice",
}


@dataclass
class Trial:
    """One trial under way: `done` says what was done, `faults` are pairs of a key of `FAULTS` and its details."""

    number: int
    kind: str
    room: Room
    chance: random.Random
    done: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def place(self) -> Place:
        return self.room.place

    def check_end(self, ended: Ended, was_killed: bool = False) -> None:
        """What must hold for every end, good or bad; a run that was killed at once can say nothing."""
        if ended.has_traceback:
            self.faults.append(("traceback", _tail(ended)))
        if ended.processes:
            self.faults.append(("processes", "; ".join(ended.processes)))
        if ended.status != 0 and not was_killed and not ended.sentence:
            self.faults.append(("mute", _tail(ended)))

    def check_result(self, ended: Ended, reference: Ended, is_last: bool, told: bool = False) -> None:
        """Compare with the undisturbed run: the last run must have its result, and a run that ended well too.

        Args:
            ended, reference: the run and the undisturbed one.
            is_last: nothing disturbed this run any more.
            told: the run has said that some requests failed, so that its result may differ.
        """
        if ended.status != 0:
            if is_last:
                self.faults.append(("lost", _tail(ended)))
            return
        expected, found = reference.outcome, ended.outcome
        different = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        if different and not told:
            self.faults.append(("wrong", f"{', '.join(different)} in {ended.folder}"))

    def check_room(self, is_mlflow_local: bool = True) -> None:
        """What must hold when all runs of the trial are over."""
        left = sorted(path.name for path in self.room.temporary.iterdir())
        if left:
            self.faults.append(("files", ", ".join(left[:5])))
        if is_mlflow_local:
            self.faults += [("running", what) for what in unfinished(self.room)]


@dataclass(frozen=True)
class Kind:
    """A kind of disturbance, which the docstring of `disturb` describes.

    `missing` says why it cannot be tried on this machine; empty: it can.
    """

    name: str
    disturb: Callable[[Trial], None]
    missing: Callable[[], str] = lambda: ""


def unfinished(room: Room) -> Sequence[str]:
    """The runs that the room's own MLflow store shows as running, and the stages that it shows twice."""
    database = room.folder / "mlflow.db"
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as store:
        running = store.execute("SELECT name FROM runs WHERE status = 'RUNNING'").fetchall()
        twice = store.execute(
            "SELECT stage.value FROM tags stage JOIN tags run ON run.run_uuid = stage.run_uuid"
            " WHERE stage.key = 'stage' AND run.key = 'bt.run_id' GROUP BY run.value, stage.value HAVING count(*) > 1"
        ).fetchall()
    return [f"{name} is RUNNING" for (name,) in running] + [f"{stage} is there twice" for (stage,) in twice]


def _tail(ended: Ended) -> str:
    return f"status {ended.status}: " + " | ".join(ended.text.strip().splitlines()[-6:])[-700:]
