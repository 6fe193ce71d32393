"""The micro-batcher: programs call the LM from ordinary Python, one call at a time; engines want batches.

Examples run in threads. When every running example waits for an answer, nothing more can come, so what has
been asked is one batch. Its content then depends on the programs alone and not on thread timing, which keeps
float rounding, and with it every step, reproducible.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bt_core.engine.base import Completion, Engine, Request

T = TypeVar("T")

#: Seconds without news after which waiting calls are sent although some example is still busy (a slow tool,
#: or a program that calls the LM from threads of its own). Costs reproducible batches, never an answer.
STALL_SECONDS = 2.0


class Batcher:
    """Runs jobs in threads and answers their LM calls in batches. One `run` at a time."""

    def __init__(self, engine: Engine, in_flight: int) -> None:
        self.engine = engine
        self.in_flight = in_flight
        self._news = threading.Condition()
        self._pending: list[tuple[int, Request, Future[Completion]]] = []
        self._running: set[int] = set()
        self._remaining = 0
        self._fault: BaseException | None = None
        self._here = threading.local()

    @property
    def job(self) -> int:
        """The job that the calling thread runs; -1 in a thread that a program started by itself."""
        return int(getattr(self._here, "job", -1))

    def submit(self, request: Request) -> Completion:
        """Ask the engine from inside a job; blocks until the batch with this request is answered.

        Raises:
            EngineError: when the engine failed on the batch.
        """
        answer: Future[Completion] = Future()
        with self._news:
            if self._fault is not None:
                raise self._fault
            self._pending.append((self.job, request, answer))
            self._news.notify_all()
        return answer.result()

    def run(self, jobs: Sequence[Callable[[], T]], progress: Callable[[int], None] | None = None) -> list[T]:
        """Run all jobs and return their results in order. The engine works in the calling thread.

        Args:
            jobs: each may call `submit` any number of times.
            progress: called with the number of jobs that have finished since the last call.

        Raises:
            EngineError: when the engine failed, even if a program caught the exception.
        """
        self._fault, self._remaining = None, len(jobs)
        with ThreadPoolExecutor(max_workers=max(1, min(self.in_flight, len(jobs)))) as pool:
            results = [pool.submit(self._job, index, job) for index, job in enumerate(jobs)]
            try:
                self._serve(progress or (lambda count: None))
            except BaseException as error:
                self._abandon(error)
                raise
        if self._fault is not None:
            raise self._fault
        return [result.result() for result in results]

    def _job(self, index: int, job: Callable[[], T]) -> T:
        self._here.job = index
        with self._news:
            self._running.add(index)
        try:
            return job()
        finally:
            with self._news:
                self._running.discard(index)
                self._remaining -= 1
                self._news.notify_all()

    def _serve(self, progress: Callable[[int], None]) -> None:
        reported = self._remaining
        while True:
            with self._news:
                self._news.wait_for(self._quiet, timeout=STALL_SECONDS)
                batch, self._pending = sorted(self._pending, key=lambda item: item[0]), []
                remaining = self._remaining
            progress(reported - remaining)
            reported = remaining
            if batch:
                self._answer(batch)
            elif not remaining:
                return

    def _quiet(self) -> bool:
        """Whether nothing more can be asked before something is answered."""
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
            self._fault = error
            if not isinstance(error, Exception):
                raise
            return
        for (_, _, answer), completion in answers:
            answer.set_result(completion)

    def _abandon(self, error: BaseException) -> None:
        with self._news:
            self._fault = error
            for _, _, answer in self._pending:
                answer.set_exception(error)
            self._pending = []
