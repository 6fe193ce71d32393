"""The test scores of a sweep's arms under every seed, and the checks before anything is computed from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bt_core.errors import DataError
from bt_core.statistics.clusters import Scores

#: The name of the program before any step.
VANILLA = "vanilla"


@dataclass(frozen=True)
class Arm:
    """One strategy of a sweep.

    A vanilla program that gives the same answers under every seed has the same scores under every seed.
    """

    name: str
    #: Whether the strategy tunes weights (holds a `w`).
    has_weights: bool
    #: Seed -> test scores in [0, 1], one for each row, in the same order for every seed and arm.
    scores: Mapping[int, Sequence[float] | Scores]
    #: Seed -> mean validation score, which chooses between arms; not needed for vanilla.
    validation: Mapping[int, float] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were run, in ascending order."""
        return tuple(sorted(self.scores))

    @property
    def mean_validation(self) -> float:
        """The mean of the seeds' validation scores."""
        return sum(self.validation[seed] for seed in self.seeds) / len(self.seeds)

    def matrix(self, seeds: Sequence[int]) -> Scores:
        """The scores as a table of seeds x rows."""
        return np.array([self.scores[seed] for seed in seeds], dtype=float)


def check_arms(vanilla: Arm, arms: Sequence[Arm]) -> None:
    """Check that the arms of a sweep can be compared.

    Raises:
        DataError: when there is nothing to compare, names repeat, rows differ in number between arms or seeds, a
            score is not a number in [0, 1], or an arm lacks a validation score or a seed that vanilla has.
    """
    names = [arm.name for arm in (vanilla, *arms)]
    if not arms:
        raise DataError("There is no arm beside vanilla: run at least one strategy.")
    if len(set(names)) < len(names):
        raise DataError(f"Two arms have the same name ({', '.join(names)}): give every arm a name of its own.")
    rows = _rows(vanilla)
    for arm in (vanilla, *arms):
        _check_scores(arm, rows)
    for arm in arms:
        _check_seeds(arm, vanilla)


def _rows(vanilla: Arm) -> int:
    if not vanilla.scores:
        raise DataError(f"Arm `{vanilla.name}` has no test scores: evaluate it with at least one seed.")
    return len(vanilla.scores[vanilla.seeds[0]])


def _check_scores(arm: Arm, rows: int) -> None:
    for seed in arm.seeds:
        where = f"Arm `{arm.name}`, seed {seed}"
        scores = np.asarray(arm.scores[seed], dtype=float)
        if scores.shape != (rows,) or not rows:
            raise DataError(
                f"{where} has {len(scores)} test rows, vanilla has {rows}: score every arm on the same rows."
            )
        bad = np.flatnonzero(~((scores >= 0.0) & (scores <= 1.0)))  # NaN is bad as well
        if bad.size:
            raise DataError(f"{where}, test row {bad[0] + 1} scored {scores[bad[0]]}: a score is a number from 0 to 1.")


def _check_seeds(arm: Arm, vanilla: Arm) -> None:
    if not set(arm.seeds) & set(vanilla.seeds):
        raise DataError(f"Arm `{arm.name}` and vanilla have no seed in common: run both with the same seeds.")
    unusable = [seed for seed in arm.seeds if not 0.0 <= arm.validation.get(seed, float("nan")) <= 1.0]
    if unusable:
        raise DataError(
            f"Arm `{arm.name}`, seed {unusable[0]} has no validation score from 0 to 1: give one for every seed, "
            "since arms are chosen by validation."
        )
