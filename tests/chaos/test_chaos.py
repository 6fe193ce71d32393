"""A short run of the disturbances, and whether the tool sees what it looks for."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.chaos.kinds import KINDS, trials
from tests.chaos.place import MARK, Ended, Place, Room, Running
from tests.chaos.trial import Trial, unfinished

#: One of every cause: a dead machine, a signal, an endpoint, the disk, another run.
SHORT = ("kill-all", "signal", "endpoint-faults", "endpoint-dies", "flipped-bits", "one-folder")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as servers:
        yield Place(tmp_path_factory.mktemp("chaos"), servers)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_disturbed_run_comes_back(place: Place, name: str) -> None:
    (kind,) = [kind for kind in KINDS if kind.name == name]
    trial = next(trials(place, [kind], seed=0, only=list(SHORT).index(name)))
    assert trial.done
    assert not trial.faults, trial.faults


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    room = Room(Place(tmp_path, ExitStack()), tmp_path)
    room.temporary.mkdir()
    return Trial(0, "none", room, Random(0))


def _ended(folder: Path, status: int = 0, text: str = "", processes: tuple[str, ...] = ()) -> Ended:
    return Ended(folder, status, text, "", processes)


def _found(trial: Trial) -> list[str]:
    return [fault for fault, _ in trial.faults]


def test_bad_ends_are_seen(trial: Trial, tmp_path: Path) -> None:
    trial.check_end(_ended(tmp_path, 1, "bt: The disk is full: make room."))
    trial.check_end(_ended(tmp_path, -signal.SIGKILL), was_killed=True)
    assert not trial.faults
    trial.check_end(_ended(tmp_path, 1, "Traceback (most recent call last):\n  ..."))
    trial.check_end(_ended(tmp_path, processes=("python -m task",)))
    assert _found(trial) == ["traceback", "mute", "processes"]


def test_another_result_is_seen(trial: Trial, tmp_path: Path) -> None:
    reference, same, nothing = (_ended(tmp_path) for _ in range(3))
    for ended in (reference, same):
        vars(ended)["outcome"] = {"test": ".5"}  # where its property keeps what it has read
    trial.check_result(same, reference, is_last=True)
    trial.check_result(replace(nothing, status=1), reference, is_last=False)
    trial.check_result(nothing, reference, is_last=False, told=True)
    assert not trial.faults
    trial.check_result(nothing, reference, is_last=False)
    trial.check_result(replace(nothing, status=1), reference, is_last=True)
    assert _found(trial) == ["wrong", "lost"]


def test_leftover_files_and_open_runs_are_seen(trial: Trial) -> None:
    with closing(sqlite3.connect(trial.room.folder / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE runs (run_uuid, name, status)")
        store.execute("CREATE TABLE tags (run_uuid, key, value)")
        store.executemany("INSERT INTO runs VALUES (?, ?, ?)", [("a", "p", "FINISHED"), ("b", "q", "FINISHED")])
        rows = [(run, key, value) for run in "ab" for key, value in (("stage", "1.p"), ("bt.run_id", run))]
        store.executemany("INSERT INTO tags VALUES (?, ?, ?)", rows)
    trial.check_room()
    assert not trial.faults
    with closing(sqlite3.connect(trial.room.folder / "mlflow.db")) as store, store:
        store.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = 'a'")
        store.execute("UPDATE tags SET value = 'a' WHERE key = 'bt.run_id'")
    (trial.room.temporary / "tmp123").touch()
    trial.check_room()
    assert _found(trial) == ["files", "running", "running"]
    assert len(unfinished(trial.room)) == 2


def test_an_orphan_is_found_and_ended(tmp_path: Path) -> None:
    orphan = "import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}]); print('started')"
    process = subprocess.Popen([sys.executable, "-c", parent], env={MARK: "orphan"}, stdout=subprocess.DEVNULL)
    ended = Running(tmp_path, process, "orphan", Path("/dev/null")).end()
    assert ended.status == 0
    (left,) = ended.processes
    assert "time.sleep(60)" in left
    assert not Running(tmp_path, process, "orphan", Path("/dev/null")).processes()
