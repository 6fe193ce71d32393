"""How a command that runs a pipeline ends before its time: with one sentence, and with its end in MLflow."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from signal import Signals

from bt_cli.run_folder import Folder
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.errors import TrackingError, UserError
from bt_runner.events import Event, TaskEnded, TaskStarted
from bt_runner.worker import stop_sentence, stop_signal

#: Seconds that a failed run waits for a tracking server that does not answer.
FAREWELL_SECONDS = 5.0


@dataclass
class Ending:
    """What the end of a run says of it: its folder, the environment of its tasks, and its stage by now."""

    folder: Folder
    environment: Mapping[str, str]
    go_on: str
    stage: str = ""
    is_under_way: bool = False

    def tell(self, event: Event) -> None:
        """Take in an event of the run."""
        if isinstance(event, TaskStarted):
            self.stage = event.label
        elif isinstance(event, TaskEnded) and event.ok:
            self.stage, self.is_under_way = "", True

    def stopped(self, number: Signals) -> str:
        """The sentence after a signal."""
        stage, caches = f" during {self.stage}" if self.stage else "", self.environment[CACHE_VARIABLE]
        kept = f"{self.folder.path} keeps the outputs of the tasks that had ended"
        if caches:
            kept += f", and {caches} every answer and adapter"
        go_on = self.go_on if caches else "without a cache, the same command begins from the start"
        return f"The run was stopped by {number.name}{stage}: {kept}; {go_on}."

    def record(self, error: Exception) -> None:
        """Record in MLflow that the run has failed, which would otherwise show it as running for ever."""
        os.environ.update(self.environment)
        import bt_tracking

        try:
            bt_tracking.end_run("FAILED", stop_sentence(error), self.stage, retry_seconds=FAREWELL_SECONDS)
        except TrackingError as refusal:
            print(f"bt: {refusal}", file=sys.stderr)


@contextmanager
def ending(folder: Folder, environment: Mapping[str, str], go_on: str) -> Iterator[Ending]:
    """Within the block, which contains the worker process, a run takes place.

    Args:
        folder: the run's folder.
        environment: the variables of its tasks.
        go_on: what to do after a signal, as the end of its sentence.

    Raises:
        SystemExit: with the status 128 + N where signal N has ended the block; MLflow knows that already.
    """
    end = Ending(folder, environment, go_on)
    try:
        yield end
    except (KeyboardInterrupt, SystemExit) as error:
        number = stop_signal(error)
        if number is None:
            raise
        print(f"bt: {end.stopped(number)}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number) from None
    except Exception as error:
        if isinstance(error, UserError) and not end.is_under_way:
            folder.discard()
        # The first task checks what the user has given before MLflow knows of the run.
        if end.is_under_way or (end.stage and not isinstance(error, UserError)):
            end.record(error)
        raise
