"""Arms with scores that are easy to reckon with."""

from collections.abc import Mapping, Sequence

from bt_core.statistics import Arm


def arm(name: str, scores: Mapping[int, Sequence[float]], validation: float = 0.5) -> Arm:
    return Arm(name, "w" in name, scores, dict.fromkeys(scores, validation))


def rates(name: str, shares: Sequence[float], rows: int = 200, validation: float = 0.5) -> Arm:
    """An arm that succeeds on that share of the rows under each seed, always on the first ones."""
    scores = {seed: [float(row < share * rows) for row in range(rows)] for seed, share in enumerate(shares)}
    return arm(name, scores, validation)


VANILLA = Arm("vanilla", False, rates("p", [0.4, 0.4, 0.4]).scores)
