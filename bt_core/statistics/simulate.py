"""Simulated sweeps with a known truth, which measure how often the verdict is wrong and how often it finds a gain."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy

from bt_core.statistics.arms import VANILLA, Arm
from bt_core.statistics.table import compare
from bt_core.statistics.verdict import DEFAULT_MARGIN, Word, judge

BEATEN, CLAIMED = "an arm beats vanilla", "a gain claimed"


@dataclass(frozen=True)
class Truth:
    """The population that sweeps are drawn from. A row is answered correctly if a normal score is above 0 (probit).

    Of the variance of that score, `difficulty` belongs to the row and is shared by all arms, `taste` belongs to the
    strategy on that row, and the rest to the single program.
    """

    vanilla: float
    #: Arm -> true success rate, over rows and seeds.
    means: Mapping[str, float]
    rows: int
    seeds: int = 3
    #: Standard deviation between seeds of an arm's success rate; vanilla has none.
    seed_sd: float = 0.0
    #: Arm -> its `seed_sd`, for arms that have one of their own.
    seed_sds: Mapping[str, float] = field(default_factory=dict)
    validation_rows: int = 50
    difficulty: float = 0.5
    taste: float = 0.1


def draw(truth: Truth, rng: np.random.Generator) -> tuple[Arm, list[Arm]]:
    """Draw one sweep: vanilla, which is the same program under every seed, and the arms."""
    hard = rng.standard_normal(truth.rows + truth.validation_rows) * np.sqrt(truth.difficulty)
    same = hard + rng.standard_normal(hard.size) * np.sqrt(1.0 - truth.difficulty) + scipy.special.ndtri(truth.vanilla)
    vanilla = (same[: truth.rows] > 0.0).astype(float)
    arms = [_draw_arm(truth, name, hard, rng) for name in truth.means]
    return Arm(VANILLA, False, dict.fromkeys(range(truth.seeds), vanilla)), arms


def _draw_arm(truth: Truth, name: str, hard: np.ndarray, rng: np.random.Generator) -> Arm:
    centre = scipy.special.ndtri(truth.means[name])
    density = np.exp(-(centre**2) / 2.0) / np.sqrt(2.0 * np.pi)
    wide = truth.seed_sds.get(name, truth.seed_sd) / density  # on the probit scale
    shift = centre * np.sqrt(1.0 + wide**2) + wide * rng.standard_normal((truth.seeds, 1))
    taste = rng.standard_normal(hard.size) * np.sqrt(truth.taste)
    own = rng.standard_normal((truth.seeds, hard.size)) * np.sqrt(1.0 - truth.difficulty - truth.taste)
    right = (shift + hard + taste + own > 0.0).astype(float)
    test, validation = right[:, : truth.rows], right[:, truth.rows :].mean(axis=1)
    return Arm(name, "w" in name, dict(enumerate(test)), dict(enumerate(map(float, validation))))


def outcomes(truth: Truth, sweeps: int, seed: int, margin: float = DEFAULT_MARGIN) -> dict[str, float]:
    """The share of simulated sweeps with each verdict, with `an arm beats vanilla` and with `a gain claimed`.

    `a gain claimed` means that an arm beats vanilla or that the verdict is `weights pay`.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for _ in range(sweeps):
        table = compare(*draw(truth, rng))
        word = judge(table, margin).word
        beaten = any(arm.versus_vanilla and arm.versus_vanilla.beats(table.alpha) for arm in table.arms)
        claimed = beaten or word == Word.WEIGHTS_PAY
        counts.update([word.value] + [BEATEN] * beaten + [CLAIMED] * claimed)
    return {name: counts[name] / sweeps for name in (*Word, BEATEN, CLAIMED)}
