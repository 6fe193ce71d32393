"""The verdict on whether fine-tuning was worth it: one of four answers, a sentence that says why, and its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bt_core.errors import ConfigError, DataError
from bt_core.statistics.arms import VANILLA
from bt_core.statistics.power import Plan, plan
from bt_core.statistics.table import Contrast, Table
from bt_core.wording import counted, p_phrase, with_interval

#: A gain smaller than this is not worth a fine-tuned model: five points of a score in [0, 1].
DEFAULT_MARGIN = 0.05


class Word(StrEnum):
    """The four answers. P and W are the arms that validation chose; the first rule that holds gives the answer."""

    #: P beats vanilla, Holm-adjusted, and the interval of W - P ends below the margin.
    PROMPTS_SUFFICE = "prompts alone suffice"
    #: W beats P and W beats vanilla, both Holm-adjusted.
    WEIGHTS_PAY = "weights pay"
    #: No arm beats vanilla, Holm-adjusted, and every arm's interval against vanilla ends below the margin.
    NONE_BEATS_VANILLA = "no strategy beats vanilla"
    #: None of these rules holds.
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    """The answer: `label` is its short form, `sentence` its long one."""

    word: Word
    sentence: str
    margin: float
    alpha: float
    #: The comparisons that led to the answer.
    figures: tuple[Contrast, ...]
    #: How many more rows and seeds would decide an undecided comparison; 0 otherwise.
    more_rows: int = 0
    more_seeds: int = 0

    @property
    def label(self) -> str:
        """The short form, such as `weights pay` or `undecided: 420 more test rows would decide`."""
        more = _more(self.more_rows, self.more_seeds)
        return f"{self.word}: {more} would decide" if more else self.word.value


def judge(table: Table, margin: float = DEFAULT_MARGIN) -> Verdict:
    """Give the verdict on a sweep.

    Args:
        table: the comparison.
        margin: the largest gain that is not worth having; a difference whose interval ends below it is no gain.

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
    return _Judge(table, margin, prompts.versus_vanilla, weights.versus_vanilla, weights.versus_prompts).verdict()


@dataclass(frozen=True)
class _Judge:
    """The rules, over the three comparisons that matter."""

    table: Table
    margin: float
    prompts: Contrast  # P - vanilla
    weights: Contrast  # W - vanilla
    gap: Contrast  # W - P

    def verdict(self) -> Verdict:
        alpha = self.table.alpha
        if self.prompts.beats(alpha) and self.gap.high < self.margin:
            return self._decided(Word.PROMPTS_SUFFICE, (self.prompts, self.gap), self._suffice())
        if self.gap.beats(alpha) and self.weights.beats(alpha):
            return self._decided(Word.WEIGHTS_PAY, (self.gap, self.weights), self._pay())
        if not self._winners() and not self._may_be_better():
            return self._decided(Word.NONE_BEATS_VANILLA, tuple(self._all()), self._nothing())
        return self._undecided()

    def _decided(self, word: Word, figures: tuple[Contrast, ...], sentence: str) -> Verdict:
        return Verdict(word, sentence + self._caveat(figures), self.margin, self.table.alpha, figures)

    def _all(self) -> list[Contrast]:
        return [arm.versus_vanilla for arm in self.table.arms if arm.versus_vanilla]

    def _winners(self) -> list[Contrast]:
        return [contrast for contrast in self._all() if contrast.beats(self.table.alpha)]

    def _may_be_better(self) -> list[Contrast]:
        """The arms that may still be better than vanilla by the margin."""
        return [contrast for contrast in self._all() if contrast.high >= self.margin]

    def _pay(self) -> str:
        return (
            f"`{self.gap.left}` scores higher than `{self.gap.right}`, the best prompts-only strategy by validation, "
            f"by {self._figures(self.gap)}, and higher than vanilla by {self._figures(self.weights)}."
        )

    def _suffice(self) -> str:
        return (
            f"`{self.prompts.left}` scores higher than vanilla by {self._figures(self.prompts)}; `{self.gap.left}`, "
            f"the best strategy with weights by validation, adds {self._figures(self.gap)}, which rules out the "
            f"{self.margin:.3f} that would make it worth having."
        )

    def _nothing(self) -> str:
        best = max(self._all(), key=lambda contrast: contrast.high)
        return (
            f"No strategy is shown to be better than vanilla, and all intervals rule out a gain of {self.margin:.3f}; "
            f"the most that is left is `{best.left}` with {self._figures(best)}."
        )

    def _undecided(self) -> Verdict:
        blocking = self._blocking()
        plans = [self._plan(contrast) for contrast in blocking]
        seeds = max(needed.seeds - contrast.basis.seeds for needed, contrast in zip(plans, blocking, strict=True))
        rows = max(max(needed.rows for needed in plans) - self.table.rows, 0 if seeds else 1)
        widest = max(blocking, key=lambda contrast: contrast.high - contrast.low)
        alone = " (the seeds differ too much to rely on rows alone)" if seeds else ""
        sentence = (
            f"`{widest.left}` against {_named(widest.right)} is open: {self._figures(widest)} "
            f"{self._shows(widest)}; if the figures stay as they are, about {_more(rows, seeds)} would probably "
            f"decide{alone}."
        )
        figures = tuple(blocking)
        return Verdict(
            Word.UNDECIDED, sentence + self._caveat(figures), self.margin, self.table.alpha, figures, rows, seeds
        )

    def _blocking(self) -> list[Contrast]:
        """The comparisons that keep the verdict open."""
        if not self._winners():
            return self._may_be_better()
        if self.gap.beats(self.table.alpha):
            return [self.weights]
        return [self.gap] if self.gap.high >= self.margin else [self.prompts]

    def _plan(self, contrast: Contrast) -> Plan:
        """What would show a gain of the measured size, or rule out one of the margin, whichever takes less."""
        claims = [*self._all(), self.gap]
        still_open = sum(claim.adjusted is None or claim.adjusted > self.table.alpha for claim in claims)
        reach = max(contrast.mean, self.margin - contrast.mean)
        return plan(contrast.basis, reach, self.table.alpha / max(still_open, 1))

    def _shows(self, contrast: Contrast) -> str:
        if contrast.high < self.margin:
            return f"shows no gain, and rules out one of {self.margin:.3f}"
        return f"neither shows a gain nor rules out one of {self.margin:.3f}"

    def _figures(self, contrast: Contrast) -> str:
        adjusted = [] if contrast.adjusted is None else [f"adjusted {p_phrase(contrast.adjusted)}"]
        sample = f"{counted(self.table.rows, 'test row')}, {counted(len(contrast.seeds), 'seed')}"
        return with_interval(contrast, 1.0 - self.table.alpha, *adjusted, sample=sample)

    def _caveat(self, figures: Sequence[Contrast]) -> str:
        if all(contrast.basis.spread.freedom for contrast in figures):
            return ""
        return " Every arm has one seed, so this is about these programs: another seed may give others."


def _named(name: str) -> str:
    return name if name == VANILLA else f"`{name}`"


def _more(rows: int, seeds: int) -> str:
    parts = [counted(rows, "more test row")] if rows else []
    parts += [counted(seeds, "more seed")] if seeds else []
    return " and ".join(parts)
