"""Right answers by luck: on closed answers, samples of a student that only guesses are right now and then.

How often, the samples of the other failing rows show. The samples of a row with another label and another greedy answer
know nothing of this row's label, so they are right about it by luck. This counts what the LM prefers to say, and how
often it repeats its greedy answer. No such row exists where an answer has two possible values only.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from bt_core.lm.probe import closed_fields, judge
from bt_core.records import Row, Trace
from bt_core.task import Task

#: The largest share of failing rows that is put down to luck, since few rows measure it badly.
MOST = 0.5


@dataclass(frozen=True)
class ClosedAnswer:
    """The closed field of a program's prediction, and its possible values."""

    field: str
    values: tuple[Hashable, ...]

    def right(self, task: Task, row: Row, trace: Trace, threshold: float) -> frozenset[Hashable]:
        """The values with which the trace's prediction would pass on the row."""
        return frozenset(value for value in self.values if self._passes(task, row, trace, value, threshold))

    def _passes(self, task: Task, row: Row, trace: Trace, value: Hashable, threshold: float) -> bool:
        try:
            return judge(task, row, trace.prediction | {self.field: value}) >= threshold
        except Exception:  # a metric may raise anything
            return False


@dataclass(frozen=True)
class Failure:
    """A row on which greedy decoding fails: its right answers, the greedy answer, and the sampled ones."""

    right: frozenset[Hashable]
    greedy: Hashable
    sampled: tuple[Hashable, ...]

    def hits(self, right: frozenset[Hashable]) -> int:
        """How many of the samples are right, if these answers are."""
        return sum(answer in right for answer in self.sampled)


def closed_answer(task: Task, traces: Iterable[Trace]) -> ClosedAnswer | None:
    """The closed field of the predictions, which is that of a label where they have several; None: free text."""
    closed = closed_fields(task)
    given = {name for trace in traces for name in trace.prediction if name in closed}
    names = given if len(given) == 1 else given & set(task.labels)
    return ClosedAnswer(name := names.pop(), closed[name]) if len(names) == 1 else None


def luck(failures: Sequence[Failure], needed: int) -> float:
    """The share of the failures that luck alone would solve, at most `MOST`.

    Args:
        failures: the rows on which greedy decoding fails.
        needed: how many samples have to be right.
    """
    shares = {right: _share(right, failures, needed) for right in {failure.right for failure in failures}}
    known = [share for failure in failures if (share := shares[failure.right]) is not None]
    return min(sum(known) / len(known), MOST) if known else 0.0


def _share(right: frozenset[Hashable], failures: Sequence[Failure], needed: int) -> float | None:
    """How many of the failures that know nothing of these right answers hit them; None where all may know."""
    ignorant = [other for other in failures if not right & {*other.right, other.greedy}]
    return sum(other.hits(right) >= needed for other in ignorant) / len(ignorant) if ignorant else None
