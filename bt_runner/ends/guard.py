"""The guard: the process that owns all processes of a local run, and ends them when the run ends, however it ends.

It is the parent of the worker process and does nothing but wait. Whatever the run starts stays below it, even a process
with a session of its own whose parent has died, as the processes of a training have. When the worker process has ended,
or some time after the caller is gone, the guard kills all that is left, removes the run's temporary folder and ends.
When the guard itself is killed, Linux kills the worker process, and the caller all that is left of the run.
"""

import os
import select
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from bt_core.shared_files import CLAIM_FILE
from bt_runner.ends.processes import adopt_orphans, die_with_parent, kill_all_below

#: Seconds that the worker process has to end by itself after the caller has closed its stdin, and seconds to kill all
#: that it leaves behind.
GRACE_SECONDS, KILL_SECONDS = 1.3, 0.5


def become_guarded(scratch: Path) -> None:
    """Make this process the guard, and return in a child of it, which is the worker process.

    The worker process leads a process group. Its stdin comes from the caller, and also tells the guard when that is
    gone. It must not have started a thread yet.

    Args:
        scratch: the temporary folder of the run, which the guard removes in the end.
    """
    adopt_orphans()
    guard = os.getpid()
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)
        die_with_parent(guard)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the caller waits for the end of the worker's output
        os.dup2(nowhere, stream)
    status = _wait(worker)
    kill_all_below(guard, KILL_SECONDS)
    if (scratch / CLAIM_FILE).exists():  # the caller has made it for this run alone
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(status)


def _wait(worker: int) -> int:
    """Wait for the end of the worker process, or for the end of its time; its exit status as a shell gives it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(0, 0)  # which reports only that the caller has closed the other end
    poll.register(woken, select.POLLIN)
    give_up: float | None = None
    while (status := _ended(worker)) is None:
        seconds = None if give_up is None else give_up - time.monotonic()
        if seconds is not None and seconds <= 0:
            return 128 + signal.SIGKILL
        for descriptor, _ in poll.poll(None if seconds is None else 1000 * seconds):
            if descriptor == woken:
                os.read(woken, 4096)
            else:
                poll.unregister(0)
                give_up = time.monotonic() + GRACE_SECONDS
    return status


def _ended(worker: int) -> int | None:
    """The exit status of the worker process; None while it runs. Adopted processes that have ended are let go."""
    with suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == worker:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if process == 0:
                break
    return None
