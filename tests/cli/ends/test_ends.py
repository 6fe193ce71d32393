"""A run that is ended in the middle: nothing outlives it by two seconds, and a sentence and MLflow say how it ended."""

import os
import re
import signal

import pytest

from tests.cli.ends.conftest import LONG, Start, Started

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_everything_with_a_sentence(number: signal.Signals, start: Start) -> None:
    run = start()
    run.wait_for(run.trains)
    run.send(number)
    os.kill(run.process.pid, number)  # a second one changes nothing
    assert run.left() == []
    assert run.process.wait(0.1) == 128 + number
    lines = run.err().splitlines()
    assert lines[-1] == (
        f"bt: The run was stopped by {number.name} during 1.w: {run.folder} keeps the outputs of the tasks that had"
        f" ended, and {run.folder.parent}/.bt-cache every answer and adapter; the same command with --out run goes on"
        " from there."
    )
    assert [line for line in lines if line.startswith("bt: ")] == lines[-1:]
    check_stopped(run)


def check_stopped(run: Started) -> None:
    assert run.statuses == {"pipeline": "KILLED", "prepare": "FINISHED", "1.bootstrap": "FINISHED", "1.w": "KILLED"}
    assert list(run.temporary.iterdir()) == []


def test_the_same_command_goes_on_where_it_stopped(start: Start) -> None:
    first = start()
    first.wait_for(first.trains)
    first.send(signal.SIGINT)
    assert first.process.wait(60) == 128 + signal.SIGINT
    assert "from the cache" not in first.err()
    again = start()
    again.wait_for(again.trains)
    again.send(signal.SIGINT)
    told = again.err()
    bootstrap = next(line for line in told.splitlines() if "1.bootstrap" in line and "LM calls" in line)
    calls, cached = re.findall(r"(\d+) LM calls \((\d+) from the cache\)", bootstrap)[0]
    assert int(calls) == int(cached) > 0
    assert told.splitlines()[-1].endswith("the same command with --out run goes on from there.")


def test_another_command_does_not_go_on_in_the_folder_of_a_stopped_one(start: Start) -> None:
    first = start()
    first.wait_for(first.trains)
    first.send(signal.SIGINT)
    first.process.wait(60)
    before = (first.folder / "arguments.json").read_bytes()
    other = start((*LONG, "seed=1"))
    assert other.process.wait(60) == 2
    assert "The --out folder run already holds a run (" in other.err()
    assert (first.folder / "arguments.json").read_bytes() == before


def test_nothing_outlives_a_killed_run(start: Start) -> None:
    """`bt` itself is killed, in the same second as its training began."""
    run = start()
    run.wait_for(run.trains)
    run.send(signal.SIGKILL)
    assert run.left() == []
    check_stopped(run)


@pytest.mark.parametrize("which", ["guard", "worker"])
def test_nothing_outlives_its_killed_owner(which: str, start: Start) -> None:
    """A process that owns others is killed: `bt` ends with a sentence, as after an error."""
    run = start()
    run.wait_for(run.trains)
    guard, worker = sorted(run.named("bt_runner.worker_process"))
    run.send(signal.SIGKILL, guard if which == "guard" else worker)
    run.seen.remove(run.process.pid)  # which imports MLflow to say so
    assert run.left() == []
    assert run.process.wait(60) == 1
    assert run.err().splitlines()[-1].startswith("bt: The task 1.w failed without naming a reason;")
    assert run.statuses["pipeline"] == run.statuses["1.w"] == "FAILED"
    assert list(run.temporary.iterdir()) == []
