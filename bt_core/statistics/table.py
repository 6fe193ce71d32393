"""The table of a sweep: every arm with its mean, its interval and its differences to vanilla and to prompts alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bt_core.errors import ConfigError
from bt_core.statistics.arms import Arm, check_arms
from bt_core.statistics.clusters import GroupNames, Groups, numbered
from bt_core.statistics.correction import holm
from bt_core.statistics.crossed import Basis, Spread, difference_spread, estimate, larger, pooled, spread

#: The chance of any false claim.
DEFAULT_ALPHA = 0.05
#: The average spread of fewer different arms has the degrees of freedom of one of them, since of two arms one may vary
#: and the other not.
FEWEST_ARMS = 3


@dataclass(frozen=True)
class Contrast:
    """The paired difference `left - right` over the rows and the seeds that both have."""

    left: str
    right: str
    seeds: tuple[int, ...]
    mean: float
    low: float
    high: float
    p_value: float
    basis: Basis
    #: Holm-adjusted p value; None for a difference that is shown but not claimed.
    adjusted: float | None = None

    def beats(self, alpha: float) -> bool:
        """Whether `left` is better, corrected for all claims of the table."""
        return self.adjusted is not None and self.adjusted <= alpha and self.mean > 0.0


@dataclass(frozen=True)
class ArmSummary:
    """One line of the table. Every interval has the table's level by itself."""

    name: str
    has_weights: bool
    mean: float
    low: float
    high: float
    by_seed: dict[int, float]
    #: Mean validation score over the arm's seeds; None for vanilla.
    validation: float | None
    versus_vanilla: Contrast | None = None
    #: Against the prompts-only arm that validation chose; None for that arm, for vanilla, and if there is none.
    versus_prompts: Contrast | None = None


@dataclass(frozen=True)
class Table:
    """The comparison of all arms of a sweep."""

    alpha: float
    rows: int
    #: Independent groups of test rows; as many as rows where every row is one.
    groups: int
    vanilla: ArmSummary
    arms: tuple[ArmSummary, ...]
    #: The prompts-only arm and the arm with weights of highest validation score; None if there is none of that kind.
    prompts: str | None
    weights: str | None

    def arm(self, name: str) -> ArmSummary:
        """The line of the arm that has this name."""
        return next(arm for arm in self.arms if arm.name == name)


def compare(vanilla: Arm, arms: Sequence[Arm], alpha: float = DEFAULT_ALPHA, groups: GroupNames = None) -> Table:
    """Compare the arms of a sweep on its test rows.

    All claims are one Holm family: each arm against vanilla, and the chosen arm with weights against the chosen
    prompts-only arm. Validation chooses (the earlier arm on ties), so that no test score decides what is tested.

    Args:
        vanilla: the program before any step.
        arms: the strategies.
        alpha: the chance of any false claim; 1 minus the confidence of an interval.
        groups: the name of each test row's group; None: all rows are independent.

    Raises:
        DataError: when the arms cannot be compared, or a score is not a number in [0, 1].
        ConfigError: when `alpha` is not between 0 and 1.
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"alpha is {alpha}: choose a chance of error between 0 and 1, such as 0.05.")
    check_arms(vanilla, arms)
    rows = len(vanilla.scores[vanilla.seeds[0]])
    intervals = _Intervals.of(vanilla, arms, alpha, numbered(groups, rows))
    chosen = _best(arms, has_weights=False)
    tuned = _best(arms, has_weights=True)
    lines = [
        replace(
            intervals.summary(arm),
            validation=arm.mean_validation,
            versus_vanilla=intervals.contrast(arm, vanilla),
            versus_prompts=intervals.contrast(arm, chosen) if chosen and arm is not chosen else None,
        )
        for arm in arms
    ]
    return Table(
        alpha=alpha,
        rows=rows,
        groups=int(intervals.groups.max()) + 1,
        vanilla=intervals.summary(vanilla),
        arms=_adjusted(lines, tuned.name if tuned else None),
        prompts=chosen.name if chosen else None,
        weights=tuned.name if tuned else None,
    )


def _best(arms: Iterable[Arm], has_weights: bool) -> Arm | None:
    of_kind = (arm for arm in arms if arm.has_weights == has_weights)
    return max(of_kind, key=lambda arm: arm.mean_validation, default=None)


@dataclass(frozen=True)
class _Intervals:
    """The intervals of a sweep, which share their level, the groups of the test rows, and what is known of seeds."""

    alpha: float
    groups: Groups
    #: Arm -> the spread between its seeds: its own, or the average of the arms where that is larger.
    spreads: Mapping[str, Spread]

    @classmethod
    def of(cls, vanilla: Arm, arms: Sequence[Arm], alpha: float, groups: Groups) -> "_Intervals":
        """Arms with the same scores, such as `p -> p` and `p`, count once in the average."""
        tables = {arm.name: arm.matrix(arm.seeds) for arm in arms}
        own = {name: spread(table, groups) for name, table in tables.items()}
        distinct = {tables[name].tobytes(): one for name, one in own.items() if one.between}
        average = pooled(distinct.values())
        if len(distinct) < FEWEST_ARMS and distinct:
            average = replace(average, freedom=min(one.freedom for one in distinct.values()))
        spreads = {name: larger(one, average) for name, one in own.items()}
        return cls(alpha, groups, {vanilla.name: spread(vanilla.matrix(vanilla.seeds), groups), **spreads})

    def summary(self, arm: Arm) -> ArmSummary:
        values = arm.matrix(arm.seeds)
        mean = estimate(values, self.spreads[arm.name], self.alpha, bounds=(0.0, 1.0), groups=self.groups)
        by_seed = dict(zip(arm.seeds, map(float, values.mean(axis=1)), strict=True))
        return ArmSummary(arm.name, arm.has_weights, mean.mean, mean.low, mean.high, by_seed, None)

    def contrast(self, left: Arm, right: Arm) -> Contrast | None:
        seeds = tuple(seed for seed in left.seeds if seed in right.scores)
        if not seeds:
            return None
        suggested = difference_spread(self.spreads[left.name], self.spreads[right.name])
        gap = estimate(left.matrix(seeds) - right.matrix(seeds), suggested, self.alpha, groups=self.groups)
        return Contrast(left.name, right.name, seeds, gap.mean, gap.low, gap.high, gap.p_value, gap.basis)


def _adjusted(lines: Sequence[ArmSummary], tuned: str | None) -> tuple[ArmSummary, ...]:
    """The lines with a Holm-adjusted p value for everything that is claimed."""
    claims = [line.versus_vanilla for line in lines if line.versus_vanilla]
    claims += [line.versus_prompts for line in lines if line.versus_prompts and line.name == tuned]
    p_values = holm([claim.p_value for claim in claims])
    adjusted = {(claim.left, claim.right): p_value for claim, p_value in zip(claims, p_values, strict=True)}

    def mark(contrast: Contrast | None) -> Contrast | None:
        return contrast and replace(contrast, adjusted=adjusted.get((contrast.left, contrast.right)))

    return tuple(
        replace(line, versus_vanilla=mark(line.versus_vanilla), versus_prompts=mark(line.versus_prompts))
        for line in lines
    )
