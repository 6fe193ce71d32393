"""Measure how often the gate before fine-tuning is right, which docs/method.md states. Takes a minute.

python docs/tools/headroom_simulation.py    # writes docs/data/headroom_simulation.json
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from generated import ROOT

from bt_core.config import LoraConfig
from bt_core.statistics import proportion_interval
from bt_core.steps.optimise.guessing import Failure, luck
from bt_core.steps.optimise.headroom import CLOSED_HITS, Headroom

RUNS, SEED, SAMPLES, FAILING = 500, 0, 4, 0.5
#: The gate of earlier releases: one sample that passes, and a point estimate of less than this.
EARLIER = 0.02
THRESHOLD = LoraConfig().min_headroom
#: Number of possible answers; 0: free text.
LABELS = (2, 3, 6, 10, 0)
#: How often a sample is right on a row whose answer the student knows, beside its guesses.
KNOWING = 0.5


@dataclass(frozen=True)
class Student:
    """Fails greedily on half of the rows; knows the answers of a share of all rows, and guesses the rest.

    `stays` is the share of samples that repeat the greedy answer.
    """

    labels: int
    knows: float = 0.0
    stays: float = 0.0

    def failures(self, rows: int, rng: np.random.Generator) -> list[Failure]:
        count = int(rng.binomial(rows, FAILING))
        knows = rng.random((count, 1)) < self.knows / FAILING
        if not self.labels:  # what is known in free text is solved by some sample, and nothing else is
            return [Failure(frozenset([1]), 0, (int(known),) * SAMPLES) for known in knows[:, 0]]
        right = rng.integers(self.labels, size=(count, 1))
        greedy = (right + rng.integers(1, self.labels, size=(count, 1))) % self.labels
        shape = (count, SAMPLES)
        guesses = np.where(rng.random(shape) < self.stays, greedy, rng.integers(self.labels, size=shape))
        answers = np.where(rng.random(shape) < KNOWING * knows, right, guesses).tolist()
        return [
            Failure(frozenset([label]), wrong, tuple(given))
            for label, wrong, given in zip(right[:, 0].tolist(), greedy[:, 0].tolist(), answers, strict=True)
        ]

    @property
    def needed(self) -> int:
        return CLOSED_HITS if self.labels else 1


@dataclass(frozen=True)
class Found:
    """What one run's gate found: the share of failures that any sample solved, and the headroom."""

    earlier: float
    headroom: Headroom

    @property
    def skipped_earlier(self) -> bool:
        return self.earlier * (self.headroom.rows - self.headroom.greedy) / self.headroom.rows < EARLIER

    @property
    def skipped(self) -> bool:
        return self.headroom.interval[1] < THRESHOLD

    @property
    def beyond_luck(self) -> float:
        """The part of the failures that counts as solved."""
        return self.headroom.gain * self.headroom.rows / (self.headroom.rows - self.headroom.greedy)


def found(student: Student, rows: int, rng: np.random.Generator) -> Found:
    failures = student.failures(rows, rng) or [Failure(frozenset([1]), 0, (0,) * SAMPLES)]
    hits = [failure.hits(failure.right) for failure in failures]
    solved = [count >= student.needed for count in hits]
    every = solved + [False] * (rows - len(solved))
    chance = luck(failures, student.needed) if student.labels else 0.0
    interval = proportion_interval(every)
    headroom = Headroom(rows, rows - len(solved), sum(solved), SAMPLES, student.needed, chance, interval)
    return Found(sum(count > 0 for count in hits) / len(hits), headroom)


def share(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 3)


def covered(results: Sequence[Found], truth: float) -> float:
    return share(low <= truth <= high for low, high in (result.headroom.interval for result in results))


def cell(labels: int, rows: int, knows: float, stays: float) -> dict[str, Any]:
    """The gate on students of one kind. With two possible answers it does not measure, and never skips."""
    rng = np.random.default_rng(SEED)
    student = Student(labels, knows, stays)
    results = [found(student, rows, rng) for _ in range(RUNS)]
    truth = found(student, 100_000, rng).headroom.gain
    return {
        "labels": labels,
        "rows": rows,
        "knows": knows,
        "stays": stays,
        "solved_before": share(result.earlier for result in results),
        "solved": None if labels == 2 else share(result.beyond_luck for result in results),
        "gain": None if labels == 2 else round(truth, 3),
        "skips_before": share(result.skipped_earlier for result in results),
        "skips": 0.0 if labels == 2 else share(result.skipped for result in results),
        "coverage": None if labels == 2 else covered(results, truth),
    }


def clusters(size: int, icc: float, truth: float, rows: int = 160) -> dict[str, Any]:
    """Coverage of the interval of the share solved, where rows come in groups; beside that which ignores groups."""
    rng, names = np.random.default_rng(SEED), [f"g{row // size}" for row in range(rows)]
    spread, hits = (1 - icc) / icc, {"coverage": 0, "coverage_as_rows": 0}
    for _ in range(RUNS):
        chances = rng.beta(truth * spread, (1 - truth) * spread, rows // size).repeat(size)
        values = (rng.random(rows) < chances).tolist()
        for name, groups in (("coverage", names), ("coverage_as_rows", None)):
            low, high = proportion_interval(values, groups)
            hits[name] += low <= truth <= high
    return {"size": size, "icc": icc, "share": truth} | {name: count / RUNS for name, count in hits.items()}


def least(rows: int) -> int:
    """The most rows that sampling may solve in free text for the step to be skipped; -1: it never is."""
    solved = -1
    while proportion_interval([row <= solved for row in range(rows)])[1] < THRESHOLD:
        solved += 1
    return solved


def main() -> None:
    measured = {
        "runs": RUNS,
        "samples": SAMPLES,
        "threshold": THRESHOLD,
        "cells": [
            cell(labels, rows, knows, stays)
            for labels in LABELS
            for stays in ((0.0, 0.6) if labels > 2 else (0.0,))
            for rows in (60, 300)
            for knows in (0.0, 0.05, 0.2)
        ],
        "clusters": [
            clusters(size, icc, truth) for size in (5, 20) for icc in (0.1, 0.3) for truth in (0.02, 0.1, 0.3)
        ],
        "least": {rows: least(rows) for rows in (50, 60, 100, 150, 300, 600)},
    }
    text = json.dumps(measured, indent=1) + "\n"
    (ROOT / "docs" / "data" / "headroom_simulation.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
