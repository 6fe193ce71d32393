"""Measure the error rates, the coverage and the power that docs/statistics.md states, on simulated sweeps.

python docs/tools/statistics_simulation.py    # writes docs/data/statistics_simulation.json; then `make docs`

Takes about ten minutes on one core.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from generated import ROOT
from tqdm import tqdm

from bt_core.statistics.clusters import Scores
from bt_core.statistics.crossed import UNKNOWN, difference_spread, estimate, pooled, spread
from bt_core.statistics.simulate import Truth, draw, outcomes, two_looks

ALPHA, MARGIN, SWEEPS, SEED, RESAMPLES = 0.05, 0.05, 2000, 0, 500
EIGHT = ("p", "p -> p", "w", "w -> w", "p -> w", "w -> p", "p -> w -> p", "w -> p -> w")
THREE = ("p", "w", "p -> w")
#: Spending of two looks, and looking twice at the full level.
SPENDING = {"0.05 once more": (0.05, 0.05), "0.01, then 0.04": (0.01, 0.04)}

Scenario = tuple[str, str, Truth]
"""The group of scenarios, what is special about this one, and the truth."""


def truth(arms: tuple[str, ...], vanilla: float, prompts: float, gain: float, rows: int, **more: Any) -> Truth:
    """Every prompts-only arm scores `prompts`, every arm with weights `prompts + gain`."""
    return Truth(vanilla, {name: prompts + gain * ("w" in name) for name in arms}, rows, **more)


def equal(label: str, arms: tuple[str, ...], rows: int, **more: Any) -> Iterator[Scenario]:
    """The same twice: all arms are as good as vanilla, and all arms are equally better."""
    yield "all equal", label, truth(arms, 0.5, 0.5, 0.0, rows, **more)
    yield "prompts help", label, truth(arms, 0.4, 0.6, 0.0, rows, **more)


def spreads() -> Iterator[Scenario]:
    """One to five seeds that vary alike, or unlike in each arm; steps that had nothing to do, and copies."""
    weights = {name: 0.06 for name in EIGHT if "w" in name}
    for seeds in (1, 2, 3, 5):
        yield from equal("8 arms, 0.03", EIGHT, 500, seeds=seeds, seed_sd=0.03)
        yield from equal("8 arms, 0.01, with weights 0.06", EIGHT, 500, seeds=seeds, seed_sd=0.01, seed_sds=weights)
        yield from equal("3 arms, 0.01, with weights 0.06", THREE, 500, seeds=seeds, seed_sd=0.01, seed_sds=weights)
        yield from equal("3 arms, 0.01, `p` 0.06", THREE, 500, seeds=seeds, seed_sd=0.01, seed_sds={"p": 0.06})
        yield from equal("3 arms, 0.01, `p -> w` 0.10", THREE, 500, seeds=seeds, seed_sd=0.01, seed_sds={"p -> w": 0.1})
        yield from equal("2 arms, 0, `p -> w` 0.06", ("p", "p -> w"), 1000, seeds=seeds, seed_sds={"p -> w": 0.06})
        yield from equal("2 arms, `p` 0.06, 0", ("p", "p -> w"), 1000, seeds=seeds, seed_sds={"p": 0.06})
    skipped = Truth(0.4, {"p": 0.6, "w": 0.4, "p -> w": 0.6}, 500, seed_sd=0.06, same={"w": "vanilla"})
    yield "prompts help", "3 arms, 0.06, `w` skipped", skipped
    copies = {"p -> p": "p", "w -> w": "w"}
    yield from equal("4 arms, 0.06, two are copies", ("p", "p -> p", "w", "w -> w"), 500, seed_sd=0.06, same=copies)
    for label, how in (("0", {}), ("0.06", {"seed_sd": 0.06})):
        yield from equal(f"8 arms, {label}", EIGHT, 150, **how)


def rows() -> Iterator[Scenario]:
    """Rows in groups, base rates, and skewed graded scores."""
    for number in (150, 500):
        for size in (5, 20):
            for icc in (0.1, 0.3):
                how = {"seed_sd": 0.02, "group_size": size, "icc": icc}
                yield from equal(f"groups of {size}, icc {icc}", THREE, number, **how)
        how = {"seed_sd": 0.02, "group_size": 20, "icc": 0.3, "is_grouped": False}
        yield from equal("groups of 20, icc 0.3, not told", THREE, number, **how)
        for rate in (0.02, 0.33, 0.95):
            yield "all equal", f"base rate {rate}", truth(THREE, rate, rate, 0.0, number, seed_sd=0.005)
        for kind in ("prompts", "weights"):
            yield from equal(f"graded, {kind} skewed", THREE, number, seed_sd=0.02, skewed=kind)


def gains() -> Iterator[Scenario]:
    """Weights add something."""
    for gain in (0.05, 0.1):
        for number in (150, 500, 1000):
            for label, arms in (("3 arms", THREE), ("8 arms", EIGHT)):
                how = truth(arms, 0.4, 0.55, gain, number, seed_sd=0.03)
                yield f"gain {gain:.2f}", f"{label}, 0.03", how
        yield f"gain {gain:.2f}", "8 arms, 0.03", truth(EIGHT, 0.4, 0.55, gain, 1000, seed_sd=0.03, seeds=10)
        for size in (5, 20):
            how = truth(THREE, 0.4, 0.55, gain, 500, seed_sd=0.02, group_size=size, icc=0.3)
            yield f"gain {gain:.2f}", f"3 arms, groups of {size}, icc 0.3", how


def looks() -> Iterator[dict[str, Any]]:
    """A sweep of 150 rows that is tested again on 600 rows where it is undecided."""
    cases = {
        "all equal": truth(THREE, 0.5, 0.5, 0.0, 600, seed_sd=0.01),
        "prompts help": truth(THREE, 0.4, 0.6, 0.0, 600, seed_sd=0.01),
        "gain 0.10": truth(THREE, 0.4, 0.55, 0.1, 600, seed_sd=0.01),
    }
    for group, how in cases.items():
        yield {"group": group, "looks": "one, 600 rows", "outcomes": outcomes(how, SWEEPS, SEED, MARGIN)}
        for label, alphas in SPENDING.items():
            yield {"group": group, "looks": label, "outcomes": two_looks(how, 150, alphas, SWEEPS, SEED, MARGIN)}


def methods(number: int, seed_sd: float) -> dict[str, float]:
    """How often three intervals for one comparison of two equal arms exclude 0."""
    rng = np.random.default_rng(SEED)
    misses: dict[str, int] = {}
    for _ in range(SWEEPS // 2):
        arms = draw(truth(EIGHT, 0.4, 0.6, 0.0, number, seed_sd=seed_sd), rng).arms
        tables = {arm.name: arm.matrix(arm.seeds) for arm in arms}
        difference, average = tables["w"] - tables["p"], pooled(map(spread, tables.values()))
        found = {
            "rows alone": estimate(difference.mean(axis=0, keepdims=True), UNKNOWN, ALPHA).p_value <= ALPHA,
            "two-level bootstrap": bootstrap_excludes_zero(difference, rng),
            "used here": estimate(difference, difference_spread(average, average), ALPHA).p_value <= ALPHA,
        }
        misses = {name: misses.get(name, 0) + bool(missed) for name, missed in found.items()}
    return {name: count / (SWEEPS // 2) for name, count in misses.items()}


def bootstrap_excludes_zero(difference: Scores, rng: np.random.Generator) -> bool:
    """Percentile bootstrap that draws seeds and rows again, the same rows for every seed (Owen 2007)."""
    seeds, number = difference.shape
    drawn = difference.astype(np.float32)[:, rng.integers(0, number, (RESAMPLES, number))].mean(axis=2)
    means = drawn[rng.integers(0, seeds, (seeds, RESAMPLES)), np.arange(RESAMPLES)].mean(axis=0)
    low, high = np.quantile(means, (ALPHA / 2, 1 - ALPHA / 2))
    return bool(low > 0.0 or high < 0.0)


def main() -> None:
    """Run everything and write the figures."""
    scenarios = [*spreads(), *rows(), *gains()]
    measured = {
        "sweeps": SWEEPS,
        "seed": SEED,
        "margin": MARGIN,
        "alpha": ALPHA,
        "scenarios": [
            {"group": group, "what": what, "truth": asdict(how), "outcomes": outcomes(how, SWEEPS, SEED, MARGIN)}
            for group, what, how in tqdm(scenarios, desc="scenarios")
        ],
        "looks": list(looks()),
        "methods": [
            {"rows": number, "seed_sd": seed_sd, "rates": methods(number, seed_sd)}
            for number in (150, 1000)
            for seed_sd in (0.0, 0.03, 0.06)
        ],
    }
    path = ROOT / "docs" / "data" / "statistics_simulation.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
