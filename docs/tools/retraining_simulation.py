"""Measure what docs/retraining.md states of a year of nightly retraining, on simulated scores. Takes a minute.

python docs/tools/retraining_simulation.py    # writes docs/data/retraining_simulation.json; then `make docs`

"carried" is the method in use: one challenger stays in shadow, and its evidence is carried from night to night
(bt_core/statistics/promotion.py). "nightly" is the method before it, for comparison: a new challenger every night,
which is promoted when the 95 % percentile-bootstrap interval lies above 0 and an exact test agrees.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from bt_core.config.settings import RetrainConfig
from bt_core.statistics.promotion import STAKES

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SEED, NIGHTS, YEARS, DISCORDANT, ACCURACY = 0, 365, 4000, 0.2, 0.6
ROWS = (20, 50, 150)
SETTINGS = RetrainConfig()
RESAMPLES, LEVEL, DRIFT_ALPHA = 4000, 0.05, SETTINGS.drift_alpha
#: Skewed differences with a mean of 0: a small gain, uniform up to this, on most rows, and a loss of 1 on few.
SMALL_GAIN, LOSSES = 0.1, 1 / 21


def draw(rows: int, gain: float, size: tuple[int, ...], rng: np.random.Generator) -> Counts:
    """How many rows are better, worse and the same under the challenger; the last axis has these three."""
    better, worse = (DISCORDANT + gain) / 2, (DISCORDANT - gain) / 2
    return rng.multinomial(rows, [better, worse, 1 - DISCORDANT], size=size)


def carried(rows: int, gain: float, years: int, nights: int, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Every promotion in years of one challenger after the other: the year, the night, and the difference reported."""
    growth, age = np.zeros((years, STAKES.size)), np.zeros(years, dtype=int)
    net = np.zeros(years)
    promotions: list[tuple[int, int, float]] = []
    for night in range(1, nights + 1):
        counts = draw(rows, gain, (years,), rng)
        growth += counts[:, :1] * np.log1p(STAKES) + counts[:, 1:2] * np.log1p(-STAKES)
        net += counts[:, 0] - counts[:, 1]
        age += 1
        wins, over = judged(growth, age)
        promotions += [(int(year), night, float(net[year] / (age[year] * rows))) for year in np.flatnonzero(wins)]
        growth[over], net[over], age[over] = 0.0, 0.0, 0
    return promotions


def judged(growth: Floats, age: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which challengers are promoted now, and which are promoted or dropped."""
    e_values = np.exp(growth).mean(axis=1)
    wins = e_values >= SETTINGS.promote_at
    return wins, wins | (e_values < SETTINGS.drop_below) | (age >= SETTINGS.nights)


def nightly_wins(counts: Counts, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each night's new challenger is promoted by the earlier method."""
    distinct, place = np.unique(counts.reshape(-1, 3), axis=0, return_inverse=True)
    wins = np.array([_one_wins(*map(int, one), rng) for one in distinct])
    return wins[place].reshape(counts.shape[:-1])


def _one_wins(better: int, worse: int, same: int, rng: np.random.Generator) -> bool:
    if better <= worse or scipy.stats.binomtest(better, better + worse).pvalue > LEVEL:
        return False
    rows = better + worse + same
    resampled = rng.multinomial(rows, np.array([better, worse, same]) / rows, size=RESAMPLES)
    return bool(np.quantile(resampled[:, 0] - resampled[:, 1], LEVEL / 2) > 0)


def equal(rows: int, years: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Promotions of challengers that are as good as the champion: per year, and the share of years with one."""
    wins = nightly_wins(draw(rows, 0.0, (years, NIGHTS), rng), rng).sum(axis=1)
    promotions = carried(rows, 0.0, years, NIGHTS, rng)
    return {
        "nightly": {"a year": float(wins.mean()), "years with one": float((wins > 0).mean())},
        "carried": {
            "a year": len(promotions) / years,
            "years with one": len({year for year, _, _ in promotions}) / years,
        },
    }


def adoption(rows: int, gain: float, years: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """The median of the nights until a gain is adopted, and by how much the gain reported then exceeds the true one."""
    counts = draw(rows, gain, (50 * years,), rng)
    wins = nightly_wins(counts, rng)
    reported = (counts[wins, 0] - counts[wins, 1]) / rows
    firsts: dict[int, tuple[int, float]] = {}
    for year, night, difference in carried(rows, gain, years, NIGHTS, rng):
        firsts.setdefault(year, (night, difference))
    nights = [firsts.get(year, (NIGHTS, 0.0))[0] for year in range(years)]
    excess = np.mean([difference - gain for _, difference in firsts.values()])
    half = np.log(0.5) / np.log1p(-wins.mean())
    return {
        "nightly": {"nights": float(np.ceil(half)), "excess": float(reported.mean() - gain)},
        "carried": {"nights": float(np.median(nights)), "excess": float(excess)},
    }


def false_alarms(rows: int, nights: int, rng: np.random.Generator) -> dict[str, float]:
    """How often the drift report says that a champion scores less than before, though nothing has changed."""
    counts = draw(rows, 0.0, (nights,), rng)
    won = counts[nightly_wins(counts, rng)]
    both = rng.binomial(won[:, 2], (ACCURACY - DISCORDANT / 2) / (1 - DISCORDANT))
    later, unselected = rng.binomial(rows, ACCURACY, (2, len(won)))
    return {
        "against the score at the promotion": _alarms(both + won[:, 0], later, rows),
        "against a score after the promotion": _alarms(unselected, later, rows),
    }


def _alarms(then: Counts, now: Counts, rows: int) -> float:
    sides = [(hits / rows, np.sqrt(hits * (rows - hits) / (rows * (rows - 1))), rows) for hits in (then, now)]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scipy.stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue
    return float(np.mean((found <= DRIFT_ALPHA) & (now < then)))


def skewed(rows: int, challengers: int, rng: np.random.Generator) -> dict[str, float]:
    """The share of challengers that are promoted, whose graded differences are skewed and 0 on average."""
    growth, age = np.zeros((challengers, STAKES.size)), np.zeros(challengers, dtype=int)
    promoted, over = (np.zeros(challengers, dtype=bool) for _ in range(2))
    nightly = 0.0
    for night in range(SETTINGS.nights):
        lost = rng.random((challengers, rows)) < LOSSES
        differences = np.where(lost, -1.0, rng.uniform(0.0, SMALL_GAIN, (challengers, rows)))
        nightly = nightly if night else float(np.mean([_graded_wins(one, rng) for one in differences[:2000]]))
        growth += np.stack([np.log1p(stake * differences).sum(axis=1) for stake in STAKES], axis=1)
        age += 1
        wins, ends = judged(growth, age)
        promoted |= wins & ~over
        over |= ends
    return {"nightly": nightly, "carried": float(promoted.mean())}


def _graded_wins(differences: Floats, rng: np.random.Generator) -> bool:
    """The earlier method on graded differences; random signs by their normal approximation, for more rows than 10."""
    if differences.sum() < scipy.stats.norm.isf(LEVEL / 2) * np.sqrt((differences**2).sum()):
        return False
    resampled = rng.choice(differences, (500, differences.size)).mean(axis=1)
    return bool(np.quantile(resampled, LEVEL / 2) > 0)


def simulate(years: int) -> dict[str, Any]:
    """Every figure, each for `ROWS` fresh rows a night."""
    rng = np.random.default_rng(SEED)
    return {
        "years": years,
        "equal": {str(rows): equal(rows, years, rng) for rows in ROWS},
        "gains": {
            f"{gain:.2f}": {str(rows): adoption(rows, gain, years, rng) for rows in ROWS} for gain in (0.0, 0.05, 0.1)
        },
        "false alarms": {str(rows): false_alarms(rows, 500 * years, rng) for rows in ROWS},
        "skewed": {str(rows): skewed(rows, years, rng) for rows in ROWS},
    }


def main() -> None:
    """Run everything and write the figures."""
    measured: Mapping[str, Any] = simulate(YEARS)
    path = Path(__file__).parents[2] / "docs" / "data" / "retraining_simulation.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
