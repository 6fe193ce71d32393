"""Simulated sweeps with a known truth, which measure how often each word is wrong and how often it finds a gain."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from bt_core.statistics.arms import VANILLA, Arm
from bt_core.statistics.clusters import Scores
from bt_core.statistics.judging.rules import DEFAULT_MARGIN, Comparisons, Word
from bt_core.statistics.table import DEFAULT_ALPHA, Contrast, Table, compare

#: What is counted beside the words: any wrong claim of that kind, and intervals that hold the truth.
BEATEN = "an arm beats vanilla"
WRONG, THESE = "wrong: ", "these programs"
COVERED_GAP, COVERED_GAINS, COVERED_MEANS = "covers W - P", "covers gains over vanilla", "covers means"
#: A graded score is 1 in a tenth of the right rows and 0.05 in the others; or the mean of these in all of them.
_RARE, _LOW = 0.1, 0.05
_LEVEL = _RARE + (1.0 - _RARE) * _LOW

Latent = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """The population that sweeps are drawn from. A row is answered correctly if a normal score is above 0 (probit).

    Of the variance of that score, `difficulty` belongs to the row and is shared by all arms, `taste` belongs to the
    strategy on that row, and the rest to the single program. Of each of the three parts the share `icc` is common to
    the rows of a group.
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
    #: Rows in a group, and the correlation of two rows of a group.
    group_size: int = 1
    icc: float = 0.0
    #: Whether the comparison is told of the groups.
    is_grouped: bool = True
    #: Arm -> the arm, or vanilla, whose programs it has: a copy, or a step that had nothing to do.
    same: Mapping[str, str] = field(default_factory=dict)
    #: Kind of arm (`prompts` or `weights`) whose right answers score 1 seldom and little otherwise; the others' right
    #: answers all score the mean of that. Empty: scores are 0 and 1.
    skewed: str = ""

    @property
    def groups(self) -> list[str] | None:
        """The names of the test rows' groups, as the comparison is told them."""
        is_told = self.is_grouped and self.group_size > 1
        return [str(row // self.group_size) for row in range(self.rows)] if is_told else None

    def mean(self, arm: str) -> float:
        """The true mean score of an arm or of vanilla."""
        rate = self.vanilla if arm == VANILLA else self.means[arm]
        return rate * (_LEVEL if self.skewed else 1.0)


@dataclass(frozen=True)
class Drawn:
    """A sweep that was drawn: its scores, and the true mean of each program."""

    vanilla: Arm
    arms: list[Arm]
    #: Arm -> seed -> true mean of that program over rows.
    programs: Mapping[str, list[float]]


def draw(truth: Truth, rng: np.random.Generator) -> Drawn:
    """Draw one sweep: vanilla, which is the same program under every seed, and the arms."""
    return _Sampler(truth, rng).sweep()


class _Sampler:
    def __init__(self, truth: Truth, rng: np.random.Generator) -> None:
        self._truth, self._rng = truth, rng
        total = truth.rows + truth.validation_rows
        # Validation rows are in groups of their own.
        self._groups = np.concatenate([np.arange(truth.rows), truth.rows + np.arange(truth.validation_rows)])
        self._groups //= truth.group_size
        self._number, self._total = int(self._groups.max()) + 1, total

    def sweep(self) -> Drawn:
        truth = self._truth
        hard = self._part(truth.difficulty)
        own = self._part(1.0 - truth.difficulty)
        right = hard + own + np.float32(scipy.special.ndtri(truth.vanilla)) > 0.0
        scores = self._graded(right, VANILLA)
        tables = {VANILLA: np.tile(scores, (truth.seeds, 1))}
        programs = {VANILLA: [truth.mean(VANILLA)] * truth.seeds}
        for name in truth.means:
            other = truth.same.get(name)
            tables[name], programs[name] = (tables[other], programs[other]) if other else self._arm(name, hard)
        arms = [_arm(name, table, truth.rows) for name, table in tables.items()]
        return Drawn(arms[0], arms[1:], programs)

    def _part(self, variance: float, seeds: int = 0) -> Latent:
        """A normal value a row (and seed) of that variance, correlated within groups."""
        icc, shape = self._truth.icc, (seeds,) if seeds else ()
        alone = self._rng.standard_normal((*shape, self._total), dtype=np.float32)
        if icc:
            common = self._rng.standard_normal((*shape, self._number), dtype=np.float32)[..., self._groups]
            alone = np.float32(icc**0.5) * common + np.float32((1.0 - icc) ** 0.5) * alone
        return np.float32(variance**0.5) * alone

    def _arm(self, name: str, hard: Latent) -> tuple[Scores, list[float]]:
        truth = self._truth
        centre = float(scipy.special.ndtri(truth.means[name]))
        density = np.exp(-(centre**2) / 2.0) / np.sqrt(2.0 * np.pi)
        wide = truth.seed_sds.get(name, truth.seed_sd) / density  # on the probit scale
        shift = centre * np.sqrt(1.0 + wide**2) + wide * self._rng.standard_normal((truth.seeds, 1))
        own = self._part(1.0 - truth.difficulty - truth.taste, truth.seeds)
        right = own + (hard + self._part(truth.taste)) + shift.astype(np.float32) > 0.0
        level = _LEVEL if truth.skewed else 1.0
        return self._graded(right, name), [level * float(rate) for rate in scipy.special.ndtr(shift[:, 0])]

    def _graded(self, right: NDArray[np.bool_], name: str) -> Scores:
        if not self._truth.skewed:
            return right.astype(np.float64)
        if (name != VANILLA) and ("weights" if "w" in name else "prompts") == self._truth.skewed:
            return np.where(right, np.where(self._rng.random(right.shape) < _RARE, 1.0, _LOW), 0.0)
        return np.where(right, _LEVEL, 0.0)


def _arm(name: str, table: Scores, rows: int) -> Arm:
    test, validation = table[:, :rows], table[:, rows:].mean(axis=1)
    is_tuned = name != VANILLA and "w" in name
    return Arm(name, is_tuned, dict(enumerate(test)), dict(enumerate(map(float, validation))))


def outcomes(
    truth: Truth, sweeps: int, seed: int, margin: float = DEFAULT_MARGIN, alpha: float = DEFAULT_ALPHA
) -> dict[str, float]:
    """The share of simulated sweeps with each word, with each kind of wrong claim, and the coverage of intervals.

    A word is wrong if what it says of the true means of the arms is not so. Where there is one seed, `wrong: these
    programs` counts what is said of the programs of that seed.
    """
    rng = np.random.default_rng(seed)
    totals: dict[str, float] = defaultdict(float)
    for _ in range(sweeps):
        drawn = draw(truth, rng)
        table = compare(drawn.vanilla, drawn.arms, alpha, groups=truth.groups)
        for name, share in found(truth, drawn, table, margin).items():
            totals[name] += share
    return {name: total / sweeps for name, total in sorted(totals.items())}


def two_looks(
    truth: Truth, first_rows: int, alphas: tuple[float, float], sweeps: int, seed: int, margin: float = DEFAULT_MARGIN
) -> dict[str, float]:
    """The share of sweeps with each word and wrong claim, if an undecided sweep is tested again on more rows.

    Args:
        truth: its `rows` are those of the second look, which hold the rows of the first one.
        first_rows: rows of the first look.
        alphas: the level of each look.
    """
    rng = np.random.default_rng(seed)
    totals: dict[str, float] = defaultdict(float)
    for _ in range(sweeps):
        drawn = draw(truth, rng)
        for rows, alpha in zip((first_rows, truth.rows), alphas, strict=True):
            arms = [replace(arm, scores={s: one[:rows] for s, one in arm.scores.items()}) for arm in drawn.arms]
            vanilla = replace(drawn.vanilla, scores={s: one[:rows] for s, one in drawn.vanilla.scores.items()})
            words = found(truth, drawn, compare(vanilla, arms, alpha), margin)
            if Word.UNDECIDED not in words:
                break
        for name, share in words.items():
            totals[name] += share
    return {name: total / sweeps for name, total in sorted(totals.items())}


def found(truth: Truth, drawn: Drawn, table: Table, margin: float) -> dict[str, float]:
    """What one sweep found: its word and its wrong claims as 1, and shares of intervals that hold the truth."""
    compared = Comparisons.of(table, margin)
    true = {name: truth.mean(name) for name in (VANILLA, *truth.means)}
    claims = [compared.word.value, *_wrong(compared, compared.word, true)]
    if compared.seeds > 1:
        claims += [WRONG + BEATEN] if any(_gain(one, true) <= 0.0 for one in compared.winners) else []
    else:
        these = {name: programs[0] for name, programs in drawn.programs.items()}
        is_wrong = any(_gain(one, these) <= 0.0 for one in compared.winners)
        claims += [WRONG + THESE] if is_wrong or any(_wrong(compared, compared.of_programs, these)) else []
    return dict.fromkeys(claims, 1.0) | _coverage(compared, true)


def _gain(contrast: Contrast, true: Mapping[str, float]) -> float:
    return true[contrast.left] - true[contrast.right]


def _wrong(compared: Comparisons, word: Word, true: Mapping[str, float]) -> Iterator[str]:
    """The word's name if it is wrong about these means."""
    gap, margin = _gain(compared.gap, true), compared.margin
    is_wrong = {
        Word.PROMPTS_SUFFICE: _gain(compared.prompts, true) <= 0.0 or gap >= margin,
        Word.WEIGHTS_PAY: gap <= 0.0 or _gain(compared.weights, true) <= 0.0,
        Word.NONE_BEATS_VANILLA: any(_gain(one, true) >= margin for one in compared.all),
        Word.UNDECIDED: False,
    }
    if is_wrong[word]:
        yield WRONG + word.value


def _coverage(compared: Comparisons, true: Mapping[str, float]) -> dict[str, float]:
    arms, gains = (compared.table.vanilla, *compared.table.arms), compared.all
    shares = {
        COVERED_GAINS: [one.low <= _gain(one, true) <= one.high for one in gains],
        COVERED_MEANS: [one.low <= true[one.name] <= one.high for one in arms],
    }
    covered = {name: sum(held) / len(held) for name, held in shares.items()}
    return covered | {COVERED_GAP: float(compared.gap.low <= _gain(compared.gap, true) <= compared.gap.high)}
