"""The verdict on whether fine-tuning was worth it: one of four words, a sentence that says why, and its figures."""

from collections.abc import Collection
from dataclasses import dataclass

from bt_core.statistics.arms import VANILLA
from bt_core.statistics.judging.needs import NOTHING, Needs, needs
from bt_core.statistics.judging.rules import DEFAULT_MARGIN, SEEDS_FOR_STRATEGIES, SEEDS_FOR_WEIGHTS, Comparisons, Word
from bt_core.statistics.table import Contrast, Table
from bt_core.wording import counted, p_phrase, with_interval

#: The label of a sweep of one seed, whatever its programs score.
ONE_SEED = "undecided between strategies: one seed"

#: The label of an undecided sweep where the open comparison is one of a program with itself.
NO_PLAN = "undecided: a strategy changed nothing"


@dataclass(frozen=True)
class Verdict:
    """The answer: `label` is its short form, `sentence` its long one."""

    word: Word
    label: str
    sentence: str
    margin: float
    alpha: float
    #: The comparisons that led to the answer.
    figures: tuple[Contrast, ...]
    #: What would decide an undecided sweep.
    needs: Needs = NOTHING


def judge(
    table: Table,
    margin: float = DEFAULT_MARGIN,
    plan_alpha: float | None = None,
    unchanged: Collection[str] = (),
) -> Verdict:
    """Give the verdict on a sweep.

    Args:
        table: the comparison.
        margin: the largest gain that is not worth having; a difference whose interval ends below it is no gain.
        plan_alpha: the level at which more rows and seeds would be tested; None: that of the table.
        unchanged: the arms whose programs are the vanilla one under every seed, which no further row tells from it.

    Raises:
        ConfigError: when `margin` is not between 0 and 1.
        DataError: when the sweep has no prompts-only arm or none with weights, or the two have no seed in common.
    """
    return _Account(Comparisons.of(table, margin), plan_alpha or table.alpha, {VANILLA, *unchanged}).verdict()


@dataclass(frozen=True)
class _Account:
    """The words for the comparisons of a sweep."""

    compared: Comparisons
    plan_alpha: float
    #: Vanilla, and the arms whose programs are the same as it.
    same: Collection[str]

    def verdict(self) -> Verdict:
        compared = self.compared
        if compared.seeds < SEEDS_FOR_STRATEGIES:
            label, sentence, needed = ONE_SEED, self._one_seed(), Needs(seeds=(SEEDS_FOR_WEIGHTS - 1, None))
        elif compared.word != Word.UNDECIDED:
            label, sentence, needed = compared.word.value, self._sentence(compared.word), NOTHING
        else:
            needed = self._needs()
            label = f"undecided: {needed} would probably decide" if needed != NOTHING else NO_PLAN
            sentence = self._undecided(needed)
        table = compared.table
        return Verdict(compared.word, label, sentence, compared.margin, table.alpha, compared.behind, needed)

    def _sentence(self, word: Word) -> str:
        return {
            Word.PROMPTS_SUFFICE: self._suffice,
            Word.WEIGHTS_PAY: self._pay,
            Word.NONE_BEATS_VANILLA: self._nothing,
            Word.UNDECIDED: self._open,
        }[word]()

    def _one_seed(self) -> str:
        return (
            f"Every arm has one seed, so this is about these programs: {self._sentence(self.compared.of_programs)} "
            f"Another seed may give other programs; a word on the strategies takes {SEEDS_FOR_WEIGHTS} seeds."
        )

    def _needs(self) -> Needs:
        compared = self.compared
        if compared.weights_lead and compared.seeds < SEEDS_FOR_WEIGHTS:
            return Needs(seeds=(SEEDS_FOR_WEIGHTS - compared.seeds,) * 2)
        claims = [*compared.all, compared.gap]
        alpha = compared.table.alpha
        still_open = sum(claim.adjusted is None or claim.adjusted > alpha for claim in claims)
        level = self.plan_alpha / max(still_open, 1)
        decidable = [one for one in compared.behind if not {one.left, one.right} <= set(self.same)]
        return needs(decidable, compared.margin, level, least_seeds=SEEDS_FOR_WEIGHTS) if decidable else NOTHING

    def _undecided(self, needed: Needs) -> str:
        compared = self.compared
        if compared.weights_lead and compared.seeds < SEEDS_FOR_WEIGHTS:
            few = counted(compared.seeds, "seed")
            return f"{self._pay()} {few} do not show that weights pay: {SEEDS_FOR_WEIGHTS} are needed."
        if needed == NOTHING:
            return f"{self._open()} The two are the same program under every seed, so that no further row decides."
        is_wide = needed.asks_for_seeds and compared.seeds >= SEEDS_FOR_WEIGHTS
        alone = " (the seeds differ too much to rely on rows alone)" if is_wide else ""
        return f"{self._open()} If the true figures are like these, {needed} would probably decide{alone}."

    def _open(self) -> str:
        widest = max(self.compared.behind, key=lambda contrast: contrast.high - contrast.low)
        return f"`{widest.left}` against {_named(widest.right)} is open: {self._figures(widest)} {self._shows(widest)}."

    def _pay(self) -> str:
        gap, weights = self.compared.gap, self.compared.weights
        return (
            f"`{gap.left}` scores higher than `{gap.right}`, the best prompts-only strategy by validation, "
            f"by {self._figures(gap)}, and higher than vanilla by {self._figures(weights)}."
        )

    def _suffice(self) -> str:
        prompts, gap = self.compared.prompts, self.compared.gap
        return (
            f"`{prompts.left}` scores higher than vanilla by {self._figures(prompts)}; `{gap.left}`, "
            f"the best strategy with weights by validation, adds {self._figures(gap)}, which rules out the "
            f"{self.compared.margin:.3f} that would make it worth having."
        )

    def _nothing(self) -> str:
        best = max(self.compared.all, key=lambda contrast: contrast.high)
        return (
            f"No strategy is shown to be better than vanilla, and all intervals rule out a gain of "
            f"{self.compared.margin:.3f}; the most that is left is `{best.left}` with {self._figures(best)}."
        )

    def _shows(self, contrast: Contrast) -> str:
        margin = self.compared.margin
        if contrast.high < margin:
            return f"shows no gain, and rules out one of {margin:.3f}"
        return f"neither shows a gain nor rules out one of {margin:.3f}"

    def _figures(self, contrast: Contrast) -> str:
        table = self.compared.table
        adjusted = [] if contrast.adjusted is None else [f"adjusted {p_phrase(contrast.adjusted)}"]
        groups = f" in {counted(table.groups, 'group')}" if table.groups < table.rows else ""
        sample = f"{counted(table.rows, 'test row')}{groups}, {counted(len(contrast.seeds), 'seed')}"
        return with_interval(contrast, 1.0 - table.alpha, *adjusted, sample=sample)


def _named(name: str) -> str:
    return name if name == VANILLA else f"`{name}`"
