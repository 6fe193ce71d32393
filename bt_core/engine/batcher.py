"""The micro-batcher: programs call the LM from ordinary Python, one call at a time, while engines need batches.

Examples run in threads. When every running example waits for an answer, no further call can arrive, so the waiting
calls are one batch. Its content then depends on the programs alone and not on the timing of threads, which keeps float
rounding, and with it every step, reproducible.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bt_core.engine.base import Completion, Engine, Request

T = TypeVar("T")

#: Seconds without a new call after which the waiting calls are sent although an example is still busy (with a slow
#: tool, or in a program that calls the LM from its own threads). Batches are then not reproducible; no answer is lost.
STALL_SECONDS = 2.0


class Batcher:
    """Runs jobs in threads and answers their LM calls in batches. Only one `run` may go on at a time."""

    def __init__(self, engine: Engine, in_flight: int) -> None:
        self.engine = engine
        self.in_flight = in_flight
        self._changed = threading.Condition()
        self._pending: list[tuple[int, Request, Future[Completion]]] = []
        self._running: set[int] = set()
        self._remaining = 0
        self._error: BaseException | None = None
        self._thread = threading.local()

    @property
    def job(self) -> int:
        """The number of the job that the calling thread runs; -1 in a thread that a program started itself."""
        return int(getattr(self._thread, "job", -1))

    def submit(self, request: Request) -> Completion:
        """Ask the engine from inside a job, and wait until the batch with this request is answered.

        Raises:
            EngineError: when the engine failed on the batch.
        """
        answer: Future[Completion] = Future()
        with self._changed:
            if self._error is not None:
                raise self._error
            self._pending.append((self.job, request, answer))
            self._changed.notify_all()
        return answer.result()

    def run(self, jobs: Sequence[Callable[[], T]], progress: Callable[[int], None] | None = None) -> list[T]:
        """Run all jobs and return their results in order. The engine works in the calling thread.

        Args:
            jobs: functions, each of which may call `submit` any number of times.
            progress: a function that is called with the number of jobs that have finished since its last call.

        Raises:
            EngineError: when the engine failed, even where a program caught the exception.
        """
        self._error, self._remaining = None, len(jobs)
        with ThreadPoolExecutor(max_workers=max(1, min(self.in_flight, len(jobs)))) as pool:
            results = [pool.submit(self._job, index, job) for index, job in enumerate(jobs)]
            try:
                self._serve(progress or (lambda count: None))
            except BaseException as error:
                self._abandon(error)
                raise
        if self._error is not None:
            raise self._error
        return [result.result() for result in results]

    def _job(self, index: int, job: Callable[[], T]) -> T:
        self._thread.job = index
        with self._changed:
            self._running.add(index)
        try:
            return job()
        finally:
            with self._changed:
                self._running.discard(index)
                self._remaining -= 1
                self._changed.notify_all()

    def _serve(self, progress: Callable[[int], None]) -> None:
        reported = self._remaining
        while True:
            with self._changed:
                self._changed.wait_for(self._all_wait, timeout=STALL_SECONDS)
                batch, self._pending = sorted(self._pending, key=lambda item: item[0]), []
                remaining = self._remaining
            progress(reported - remaining)
            reported = remaining
            if batch:
                self._answer(batch)
            elif not remaining:
                return

    def _all_wait(self) -> bool:
        """Whether no further call can arrive before a waiting one is answered."""
        if len(self._running) < min(self.in_flight, self._remaining):
            return False  # a free thread is about to take the next job
        return self._running <= {job for job, _, _ in self._pending}

    def _answer(self, batch: Sequence[tuple[int, Request, Future[Completion]]]) -> None:
        try:
            completions = self.engine.generate([request for _, request, _ in batch])
            answers = list(zip(batch, completions, strict=True))
        except BaseException as error:
            for _, _, answer in batch:
                answer.set_exception(error)
            self._error = error
            if not isinstance(error, Exception):
                raise
            return
        for (_, _, answer), completion in answers:
            answer.set_result(completion)

    def _abandon(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            for _, _, answer in self._pending:
                answer.set_exception(error)
            self._pending = []
