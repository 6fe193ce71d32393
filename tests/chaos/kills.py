"""Disturbances by signals: to all processes of a run, to one of them, or to `bt` as a user or a shell sends them."""

import os
import signal
import time
from contextlib import suppress

from tests.chaos.place import WEIGHTS, Running
from tests.chaos.trial import Trial

#: Longer than an undisturbed run takes, so that some signals come when all is over.
LAST_MOMENT = 14.0
#: Signals that ask for an end, and the status that a shell gives to each.
POLITE = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


def kill_all(trial: Trial) -> None:
    """Kill all processes of a run at once, up to three times, and repeat it."""
    for _ in range(trial.chance.randint(1, 3)):
        run = _wait_in(trial)
        trial.done.append(f"killed all, {len(run.processes())} processes")
        run.kill_all()
        trial.check_end(run.end(), was_killed=True)
    _again(trial)


def kill_one(trial: Trial) -> None:
    """Kill one process of a run, its worker, its task server or a task for example."""
    run = _wait_in(trial)
    alive = run.processes()
    if alive:
        pid = trial.chance.choice(sorted(alive))
        trial.done.append(f"killed {'bt' if pid == run.process.pid else alive[pid]}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ended = run.end()
    trial.check_end(ended, was_killed=ended.status == -signal.SIGKILL)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=False)
    _again(trial)


def ask_to_end(trial: Trial) -> None:
    """Send SIGTERM, SIGINT or SIGHUP to `bt`, which must then end within two seconds."""
    number = trial.chance.choice(list(POLITE))
    run = _wait_in(trial)
    was_alive, begun = run.process.poll() is None, time.monotonic()
    run.signal(number)
    trial.done.append(f"{signal.Signals(number).name}{'' if was_alive else ', after the end'}")
    ended = run.end()
    took = time.monotonic() - begun
    # A signal in the first moments finds an interpreter that has not loaded bt yet, and ends it as the system does.
    if was_alive and ended.status not in (POLITE[number], -number, 0):
        trial.faults.append(("lost", f"status {ended.status} after {signal.Signals(number).name}"))
    if was_alive and took > 2 * 2.0:
        trial.faults.append(("processes", f"it took {took:.1f} s to end after {signal.Signals(number).name}"))
    trial.check_end(ended, was_killed=ended.status == -number)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=False)
    _again(trial)


def _wait_in(trial: Trial) -> Running:
    """A run that has gone on for a random time."""
    moment = trial.chance.uniform(0.0, LAST_MOMENT)
    trial.done.append(f"at {moment:.2f} s")
    run = trial.room.start(*WEIGHTS)
    until = time.monotonic() + moment
    while time.monotonic() < until and run.process.poll() is None:
        time.sleep(0.005)
    return run


def _again(trial: Trial) -> None:
    """The same command once more, undisturbed."""
    ended = trial.room.start(*WEIGHTS).end()
    trial.check_end(ended)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=True)
    trial.check_room()
