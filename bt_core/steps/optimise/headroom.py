"""The gate before fine-tuning: could the program do better than it does, given what its LM already knows?

Fine-tuning on a program's own successful traces makes answers reliable that sampling reaches only now and then. Where
sampling solves hardly any example on which greedy decoding fails (pass@k against greedy; Chen et al. 2021,
arXiv 2107.03374, for pass@k), there is little to gain. Headroom says nothing about shorter prompts, which fine-tuning
may also bring, nor about what a teacher knows. docs/method.md shows how often the gate is wrong.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bt_core.records import Row, Trace, row_id
from bt_core.statistics import proportion_interval, share_interval
from bt_core.steps.optimise.guessing import ClosedAnswer, Failure, closed_answer, luck
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage

#: How many samples have to pass where the answer is closed, since one is often right by luck.
CLOSED_HITS = 2


@dataclass(frozen=True)
class Headroom:
    """How many train examples pass with greedy decoding, and how many more when they are sampled.

    Attributes:
        rows: train examples.
        greedy: those that pass with greedy decoding.
        more: those of the others that pass in at least `needed` samples.
        samples: how often each of the others is sampled, at most.
        needed: how many samples have to pass.
        luck: the share of the others that luck alone would solve.
        solved: 95 % interval of `more` as a share of all examples.
    """

    rows: int
    greedy: int
    more: int
    samples: int
    needed: int
    luck: float
    solved: tuple[float, float]

    @property
    def gain(self) -> float:
        """The share of all examples that only sampling solves, corrected for guessing (Abbott 1925)."""
        return max((self.more / self.rows - self._by_luck) / (1.0 - self.luck), 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the gain: the intervals of what is solved and of luck, combined (MOVER).

        Zou and Donner 2008, Statistics in Medicine 27:1693-1702. A sample that hits one answer misses the others, so
        both vary against each other; their correlation, -0.4 with three answers and smaller with more, counts as -0.5.
        """
        failed, share = self.rows - self.greedy, self.more / self.rows
        lucky_low, lucky_high = share_interval(self.luck, failed) if self.luck else (0.0, 0.0)
        down = _combined(share - self.solved[0], (lucky_high - self.luck) * failed / self.rows)
        up = _combined(self.solved[1] - share, (self.luck - lucky_low) * failed / self.rows)
        low, high = ((share - self._by_luck + step) / (1.0 - self.luck) for step in (-down, up))
        return max(low, 0.0), max(high, 0.0)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by their names in a report."""
        low, high = self.interval
        return {
            "headroom/greedy": self.greedy / self.rows,
            "headroom/gain": self.gain,
            "headroom/gain_low": low,
            "headroom/gain_high": high,
            "headroom/luck": self.luck,
        }

    def __str__(self) -> str:
        low, high = self.interval
        by_luck = f", where luck would solve {self._by_luck * self.rows:.1f}" if self.luck else ""
        return (
            f"{self.greedy} of {self.rows} train examples pass greedily, {self.more} more in at least {self.needed} of"
            f" {self.samples} samples{by_luck} (headroom {self.gain:+.3f}, 95% interval {low:.3f} to {high:.3f})"
        )

    @property
    def _by_luck(self) -> float:
        """The share of all examples that luck would solve."""
        return self.luck * (self.rows - self.greedy) / self.rows


def _combined(one: float, other: float) -> float:
    """The distance of a difference from its limit, from those of its two sides, whose correlation is -0.5."""
    return math.sqrt(one**2 + other**2 + one * other)


def obstacle(stage: Stage, traces: Sequence[Trace]) -> str:
    """Why headroom could not tell whether training pays; empty if it could."""
    model = stage.program.model
    if stage.config.teacher.model or any(trace.model not in ("", model) for trace in traces):
        return "the traces are a teacher's, which may know what the program's own LM does not"
    answer = closed_answer(stage.task, traces)
    if answer and len(answer.values) == 2:
        return f"`{answer.field}` has two possible values, so that sampling reaches the right one by luck"
    return ""


def measure(session: Session, rows: Sequence[Row], traces: Sequence[Trace]) -> Headroom:
    """Sample the examples that fail with greedy decoding, up to `w.headroom_samples` times each.

    Args:
        session: that of the weight step, whose incoming program is sampled.
        rows: the train split.
        traces: traces on it. Those that the program's own LM made greedily are used; for other rows it runs again.

    Raises:
        BtError: when the engine failed or the metric returned no score in [0, 1].
    """
    task, samples = session.stage.task, session.stage.config.w.headroom_samples
    threshold = session.stage.config.bootstrap.threshold
    greedy = _greedy(session, rows, traces)
    failing = [row for row in rows if greedy[row_id(row)].score < threshold]
    answer = closed_answer(task, greedy.values())
    needed = min(CLOSED_HITS, samples) if answer else 1
    sampled = _sampled(session, failing, is_closed=answer is not None)
    solved = {name for name, runs in sampled.items() if sum(run.score >= threshold for run in runs) >= needed}
    failures = [_failure(session.stage, answer, row, greedy, sampled) for row in failing] if answer else []
    return Headroom(
        rows=len(rows),
        greedy=len(rows) - len(failing),
        more=sum(row_id(row) in solved for row in failing),
        samples=samples,
        needed=needed,
        luck=luck(failures, needed),
        solved=proportion_interval([row_id(row) in solved for row in rows], [task.group_of(row) for row in rows]),
    )


def _greedy(session: Session, rows: Sequence[Row], traces: Sequence[Trace]) -> dict[str, Trace]:
    """The program's own greedy trace on each row, by example."""
    program = session.stage.program
    own = {trace.example: trace for trace in traces if trace.attempt == 0 and trace.model == program.model}
    others = [row for row in rows if row_id(row) not in own]
    if others:
        made = session.runner.run(program, others, f"{session.stage.name} headroom greedy", bootstrapping=True)
        own |= {trace.example: trace for trace in made}
    return own


def _sampled(session: Session, failing: Sequence[Row], is_closed: bool) -> dict[str, list[Trace]]:
    """The samples of each failing example: all where answers are closed, else those up to the first one that passes."""
    stage = session.stage
    samples, threshold = stage.config.w.headroom_samples, stage.config.bootstrap.threshold
    sampled: dict[str, list[Trace]] = {row_id(row): [] for row in failing}
    for attempt in range(1, samples + 1):
        passed = {name for name, runs in sampled.items() if any(run.score >= threshold for run in runs)}
        left = [row for row in failing if is_closed or row_id(row) not in passed]
        if not left:
            break
        label = f"{stage.name} headroom {attempt}/{samples}"
        for trace in session.runner.run(stage.program, left, label, bootstrapping=True, attempt=attempt):
            sampled[trace.example].append(trace)
    return sampled


def _failure(
    stage: Stage,
    answer: ClosedAnswer,
    row: Row,
    greedy: Mapping[str, Trace],
    sampled: Mapping[str, Sequence[Trace]],
) -> Failure:
    def given(trace: Trace) -> Any:
        return trace.prediction.get(answer.field)

    trace = greedy[row_id(row)]
    right = answer.right(stage.task, row, trace, stage.config.bootstrap.threshold)
    return Failure(right, given(trace), tuple(map(given, sampled[row_id(row)])))
