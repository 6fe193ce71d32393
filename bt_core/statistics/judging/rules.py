"""The rules that turn the comparison of a sweep's arms into one of four words."""

from dataclasses import dataclass
from enum import StrEnum

from bt_core.errors import ConfigError, DataError
from bt_core.statistics.table import Contrast, Table

#: A gain smaller than this is not worth a fine-tuned model: five points of a score in [0, 1].
DEFAULT_MARGIN = 0.05
#: With fewer seeds nothing is said of strategies, since one seed does not show how far seeds differ.
SEEDS_FOR_STRATEGIES = 2
#: With fewer seeds weights are not said to pay: two seeds show their spread with one degree of freedom.
SEEDS_FOR_WEIGHTS = 3


class Word(StrEnum):
    """The four answers. P and W are the arms that validation chose; the first rule that holds gives the answer."""

    #: P beats vanilla, Holm-adjusted, and the interval of W - P ends below the margin.
    PROMPTS_SUFFICE = "prompts alone suffice"
    #: W beats P and W beats vanilla, both Holm-adjusted, under three seeds at least.
    WEIGHTS_PAY = "weights pay"
    #: No arm beats vanilla, Holm-adjusted, and every arm's interval against vanilla ends below the margin.
    NONE_BEATS_VANILLA = "no strategy beats vanilla"
    #: None of these rules holds, or there is one seed only.
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of a sweep that a verdict rests on, and the rules."""

    table: Table
    #: The largest gain that is not worth having.
    margin: float
    prompts: Contrast  # P - vanilla
    weights: Contrast  # W - vanilla
    gap: Contrast  # W - P

    @classmethod
    def of(cls, table: Table, margin: float) -> "Comparisons":
        """Choose the comparisons.

        Raises:
            ConfigError: when `margin` is not between 0 and 1.
            DataError: when the sweep has no prompts-only arm or none with weights, or the two have no seed in common.
        """
        if not 0.0 < margin < 1.0:
            raise ConfigError(
                f"The margin is {margin}: give the smallest gain worth having, between 0 and 1, such as 0.05."
            )
        if table.prompts is None or table.weights is None:
            lacking = (
                "prompts-only strategy, such as `p`" if table.prompts is None else "strategy with `w`, such as `p -> w`"
            )
            raise DataError(f"The sweep cannot say whether fine-tuning pays without a {lacking}: add one.")
        prompts, weights = table.arm(table.prompts), table.arm(table.weights)
        if prompts.versus_vanilla is None or weights.versus_vanilla is None or weights.versus_prompts is None:
            raise DataError(
                f"Arms `{prompts.name}` and `{weights.name}` have no seed in common: run both with the same seeds."
            )
        return cls(table, margin, prompts.versus_vanilla, weights.versus_vanilla, weights.versus_prompts)

    @property
    def seeds(self) -> int:
        """The number of seeds behind every comparison."""
        return min(len(contrast.seeds) for contrast in (self.gap, *self.all))

    @property
    def all(self) -> list[Contrast]:
        """Every arm against vanilla."""
        return [arm.versus_vanilla for arm in self.table.arms if arm.versus_vanilla]

    @property
    def winners(self) -> list[Contrast]:
        """The arms that beat vanilla."""
        return [contrast for contrast in self.all if contrast.beats(self.table.alpha)]

    @property
    def may_be_better(self) -> list[Contrast]:
        """The arms that may still be better than vanilla by the margin."""
        return [contrast for contrast in self.all if contrast.high >= self.margin]

    @property
    def weights_lead(self) -> bool:
        """Whether W beats both P and vanilla."""
        return self.gap.beats(self.table.alpha) and self.weights.beats(self.table.alpha)

    @property
    def of_programs(self) -> Word:
        """The word for these very programs, whatever another seed would give."""
        if self.prompts.beats(self.table.alpha) and self.gap.high < self.margin:
            return Word.PROMPTS_SUFFICE
        if self.weights_lead:
            return Word.WEIGHTS_PAY
        return Word.UNDECIDED if self.winners or self.may_be_better else Word.NONE_BEATS_VANILLA

    @property
    def word(self) -> Word:
        """The word for the strategies."""
        word, needed = self.of_programs, SEEDS_FOR_STRATEGIES
        if word == Word.WEIGHTS_PAY:
            needed = SEEDS_FOR_WEIGHTS
        return word if self.seeds >= needed else Word.UNDECIDED

    @property
    def behind(self) -> tuple[Contrast, ...]:
        """The comparisons that led to the word for the programs; those that keep it open where it is undecided."""
        if self.of_programs == Word.PROMPTS_SUFFICE:
            return self.prompts, self.gap
        if self.of_programs == Word.WEIGHTS_PAY:
            return self.gap, self.weights
        return tuple(self.all if self.of_programs == Word.NONE_BEATS_VANILLA else self._blocking)

    @property
    def _blocking(self) -> list[Contrast]:
        if not self.winners:
            return self.may_be_better
        if self.gap.beats(self.table.alpha):
            return [self.weights]
        return [self.gap] if self.gap.high >= self.margin else [self.prompts]
