"""Measure the error rates and the power that docs/statistics.md states, on simulated sweeps. Takes a few minutes.

python docs/tools/statistics_simulation.py    # writes docs/data/statistics_simulation.json; then `make docs`
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from generated import ROOT

from bt_core.statistics.clusters import Scores
from bt_core.statistics.crossed import Spread, estimate, pooled, spread
from bt_core.statistics.simulate import Truth, draw, outcomes

ALPHA, MARGIN, SWEEPS, SEED, RESAMPLES = 0.05, 0.05, 1000, 0, 500
ARMS = ("p", "p -> p", "w", "w -> w", "p -> w", "w -> p", "p -> w -> p", "w -> p -> w")
TUNED = [name for name in ARMS if "w" in name]


def truth(vanilla: float, prompts: float, gain: float, rows: int, **more: Any) -> Truth:
    """Every prompts-only arm scores `prompts`, every arm with weights `prompts + gain`."""
    return Truth(vanilla, {name: prompts + gain * (name in TUNED) for name in ARMS}, rows, **more)


def scenarios() -> Iterator[tuple[str, str, Truth]]:
    """Group, what is special about it, and the truth."""
    spreads = [("0", {}), ("0.03", {"seed_sd": 0.03}), ("0.06", {"seed_sd": 0.06})]
    uneven = {"seed_sd": 0.01, "seed_sds": dict.fromkeys(TUNED, 0.06)}
    lone = {"seed_sd": 0.01, "seed_sds": {"p -> w": 0.1}}
    odd = [("0.01, with weights 0.06", uneven), ("0.01, `p -> w` 0.10", lone)]
    for rows in (150, 1000):
        for label, how in spreads + odd:
            yield "all equal", label, truth(0.5, 0.5, 0.0, rows, **how)
            yield "prompts help", label, truth(0.4, 0.6, 0.0, rows, **how)
    for seeds in (2, 5):
        yield "prompts help", f"0.03, {seeds} seeds", truth(0.4, 0.6, 0.0, 1000, seed_sd=0.03, seeds=seeds)
    two = Truth(0.4, {"p": 0.6, "p -> w": 0.6}, 1000, seed_sds={"p -> w": 0.06})
    yield "prompts help", "two arms: `p` 0, `p -> w` 0.06", two
    for gain in (0.05, 0.1):
        for rows in (150, 1000):
            for label, how in spreads[:2]:
                yield f"gain {gain:.2f}", label, truth(0.4, 0.55, gain, rows, **how)
    for label, how in (("0.03, 10 seeds", {"seed_sd": 0.03, "seeds": 10}),):
        for gain in (0.05, 0.1):
            yield f"gain {gain:.2f}", label, truth(0.4, 0.55, gain, 1000, **how)


def methods(rows: int, seed_sd: float) -> dict[str, float]:
    """How often three intervals for one comparison of two equal arms exclude 0."""
    rng = np.random.default_rng(SEED)
    misses: dict[str, int] = {}
    for _ in range(SWEEPS):
        _, arms = draw(truth(0.4, 0.6, 0.0, rows, seed_sd=seed_sd), rng)
        tables = {arm.name: arm.matrix(arm.seeds) for arm in arms}
        difference = tables["w"] - tables["p"]
        pool = pooled(map(spread, tables.values())).times(2)
        averages = difference.mean(axis=0, keepdims=True)
        found = {
            "rows alone": estimate(averages, Spread(0.0, 0.0, 0), ALPHA).p_value <= ALPHA,
            "two-level bootstrap": bootstrap_excludes_zero(difference, rng),
            "used here": estimate(difference, pool, ALPHA).p_value <= ALPHA,
        }
        misses = {name: misses.get(name, 0) + bool(missed) for name, missed in found.items()}
    return {name: count / SWEEPS for name, count in misses.items()}


def bootstrap_excludes_zero(difference: Scores, rng: np.random.Generator) -> bool:
    """Percentile bootstrap that draws seeds and rows again, the same rows for every seed (Owen 2007)."""
    seeds, rows = difference.shape
    drawn = difference.astype(np.float32)[:, rng.integers(0, rows, (RESAMPLES, rows))].mean(axis=2)
    means = drawn[rng.integers(0, seeds, (seeds, RESAMPLES)), np.arange(RESAMPLES)].mean(axis=0)
    low, high = np.quantile(means, (ALPHA / 2, 1 - ALPHA / 2))
    return bool(low > 0.0 or high < 0.0)


def main() -> None:
    """Run everything and write the figures."""
    measured = {
        "sweeps": SWEEPS,
        "seed": SEED,
        "margin": MARGIN,
        "alpha": ALPHA,
        "scenarios": [
            {"group": group, "spread": label, "truth": asdict(how), "outcomes": outcomes(how, SWEEPS, SEED, MARGIN)}
            for group, label, how in scenarios()
        ],
        "methods": [
            {"rows": rows, "seed_sd": seed_sd, "rates": methods(rows, seed_sd)}
            for rows in (150, 1000)
            for seed_sd in (0.0, 0.03, 0.06)
        ],
    }
    path = ROOT / "docs" / "data" / "statistics_simulation.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
