"""The gate before fine-tuning: could the program do better than it does, given what its LM already knows?

Fine-tuning on a program's own successful traces makes answers reliable that sampling reaches only now and then. Where
sampling solves hardly any example on which greedy decoding fails (pass@k against greedy; Chen et al. 2021,
arXiv 2107.03374, for pass@k), there is little to gain. Headroom says nothing about shorter prompts, which fine-tuning
may also bring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bt_core.records import Row, Trace, row_id
from bt_core.statistics import proportion_interval
from bt_core.steps.session import Session


@dataclass(frozen=True)
class Headroom:
    """How many train examples pass with greedy decoding, and how many more when they are sampled.

    Attributes:
        rows: train examples.
        greedy: those that pass with greedy decoding.
        more: those of the others that pass in at least one sample.
        samples: how often each of the others is sampled, at most.
    """

    rows: int
    greedy: int
    more: int
    samples: int

    @property
    def gain(self) -> float:
        """The share of all examples that only sampling solves."""
        return self.more / self.rows

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the gain, from the exact interval of the share of failed examples that sampling solves."""
        failed = self.rows - self.greedy
        low, high = proportion_interval(self.more, failed)
        return low * failed / self.rows, high * failed / self.rows

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by their names in a report."""
        low, high = self.interval
        return {
            "headroom/greedy": self.greedy / self.rows,
            "headroom/gain": self.gain,
            "headroom/gain_low": low,
            "headroom/gain_high": high,
        }

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.greedy} of {self.rows} train examples pass greedily, {self.more} more in one of {self.samples}"
            f" samples (headroom {self.gain:+.3f}, 95% interval {low:.3f} to {high:.3f})"
        )


def measure(session: Session, rows: Sequence[Row], traces: Sequence[Trace]) -> Headroom:
    """Sample the examples that fail with greedy decoding, up to `w.headroom_samples` times each.

    Args:
        session: that of the weight step, whose incoming program is sampled.
        rows: the train split.
        traces: the program's traces on it.

    Raises:
        BtError: when the engine failed or the metric returned no score in [0, 1].
    """
    stage = session.stage
    threshold, samples = stage.config.bootstrap.threshold, stage.config.w.headroom_samples
    passed = {trace.example for trace in traces if trace.score >= threshold and trace.attempt == 0}
    failing = [row for row in rows if row_id(row) not in passed]
    solved: set[str] = set()
    for attempt in range(1, samples + 1):
        unsolved = [row for row in failing if row_id(row) not in solved]
        if not unsolved:
            break
        label = f"{stage.name} headroom {attempt}/{samples}"
        sampled = session.runner.run(stage.program, unsolved, label, bootstrapping=True, attempt=attempt)
        solved |= {trace.example for trace in sampled if trace.score >= threshold}
    return Headroom(len(rows), len(rows) - len(failing), len(solved), samples)
