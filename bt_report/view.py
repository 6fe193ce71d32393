"""What a report shows, chosen and ordered from sweep.json; both templates use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bt_core.formats.arms import ArmContrast, ArmScores, VanillaScores
from bt_core.formats.sweep import Node, Sweep
from bt_report.forest import Estimate, Forest, forest
from bt_report.losses import Panel, losses, trained
from bt_report.pareto import Offer, Pareto, not_dominated, pareto
from bt_report.terms import terms
from bt_report.text import compact, count, score, signed
from bt_report.tree import Branch, Tree, branches, tree


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard: an arm, or vanilla."""

    name: str
    kind: str
    arm: ArmScores | VanillaScores
    is_shipped: bool

    @property
    def is_vanilla(self) -> bool:
        return isinstance(self.arm, VanillaScores)

    @property
    def versus_vanilla(self) -> ArmContrast | None:
        return self.arm.versus_vanilla if isinstance(self.arm, ArmScores) else None

    @property
    def made_with(self) -> int:
        """Tokens read, written and trained on to make the program, mean over the seeds; 0 for vanilla."""
        if isinstance(self.arm, VanillaScores):
            return 0
        cost = self.arm.cost
        return round(cost.prompt_tokens + cost.completion_tokens + cost.train_tokens)


@dataclass(frozen=True)
class Report:
    """The parts of a report that sweep.json does not hold word for word."""

    sweep: Sweep

    @property
    def lines(self) -> list[Line]:
        """Vanilla and all arms, the highest mean test score first."""
        shipped = self.sweep.winner.arm if self.sweep.winner else ""
        lines = [Line("vanilla", "vanilla", self.sweep.vanilla, False)]
        lines += [Line(arm.name, _kind(arm.has_weights), arm, arm.name == shipped) for arm in self.sweep.arms]
        return sorted(lines, key=lambda line: -line.arm.mean)

    @property
    def prompts(self) -> str:
        """The prompts-only arm that the others are compared with; empty where there is none."""
        return next((arm.versus_prompts.right for arm in self.sweep.arms if arm.versus_prompts), "")

    @property
    def figures(self) -> list[ArmContrast]:
        """The comparisons behind the verdict: of the chosen arms with each other, and of both with vanilla."""
        arms = self.sweep.arms
        tuned = next((arm for arm in arms if arm.versus_prompts and arm.versus_prompts.adjusted is not None), None)
        chosen = next((arm for arm in arms if arm.name == self.prompts), None)
        contrasts = [tuned.versus_prompts, tuned.versus_vanilla] if tuned else []
        return [contrast for contrast in (*contrasts, chosen.versus_vanilla if chosen else None) if contrast]

    @property
    def confidence(self) -> float:
        """The level of the intervals."""
        return 1.0 - self.sweep.alpha

    @property
    def seeds(self) -> list[int]:
        """The seeds, the lowest first."""
        return sorted(self.sweep.seeds)

    @property
    def verdict_plot(self) -> Forest:
        kinds = {line.name: line.kind for line in self.lines}
        return forest(
            [
                _difference(contrast, f"{compact(contrast.left, 14)} − {compact(contrast.right, 14)}", kinds)
                for contrast in self.figures
            ],
            [(0.0, "no difference"), (self.sweep.margin, "margin")],
        )

    @property
    def score_plot(self) -> Forest:
        estimates = [
            Estimate(
                line.name,
                line.kind,
                line.arm.mean,
                line.arm.low,
                line.arm.high,
                score(line.arm.mean),
                f"{line.name}: {score(line.arm.mean)} ({score(line.arm.low)} to {score(line.arm.high)})",
            )
            for line in self.lines
        ]
        return forest(estimates, [(self.sweep.vanilla.mean, "vanilla")])

    @property
    def difference_plot(self) -> Forest:
        kinds = {line.name: line.kind for line in self.lines}
        contrasts = [(line.name, line.versus_vanilla) for line in self.lines]
        return forest(
            [_difference(contrast, name, kinds) for name, contrast in contrasts if contrast],
            [(0.0, "vanilla"), (self.sweep.margin, "margin")],
        )

    @property
    def call_offers(self) -> list[Offer]:
        """The programs, priced by what a call of each costs."""
        return [self._offer(line, line.arm.prompt_tokens_per_example, "prompt tokens") for line in self.lines]

    @property
    def make_offers(self) -> list[Offer]:
        """The programs, priced by what making each cost."""
        return [self._offer(line, line.made_with, "tokens to make") for line in self.lines]

    @property
    def shippable(self) -> list[str]:
        """`STRATEGY@SEED` of each arm that no program dominates by the price of a call: its best seed on validation.

        The program that is shipped already is left out.
        """
        arms = {arm.name: arm.validation_by_seed for arm in self.sweep.arms}
        names = [name for name in self.best_names(self.call_offers) if name in arms]
        best = [f"{name}@{max(arms[name], key=arms[name].__getitem__)}" for name in names]
        winner = self.sweep.winner
        return [name for name in best if not winner or name != f"{winner.arm}@{winner.seed}"]

    @property
    def call_plot(self) -> Pareto:
        return pareto(self.call_offers)

    @property
    def make_plot(self) -> Pareto:
        return pareto(self.make_offers)

    @property
    def branches(self) -> list[Branch]:
        return branches(self.sweep.nodes, [arm.name for arm in self.sweep.arms])

    @property
    def tree(self) -> Tree:
        return tree(self.branches)

    @property
    def losses(self) -> list[Panel]:
        return losses(self.sweep.nodes)

    @property
    def trained(self) -> list[Node]:
        return trained(self.sweep.nodes)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(arm, sentence) of every step that had nothing to do."""
        return [(arm.name, sentence) for arm in self.sweep.arms for sentence in arm.skipped]

    @property
    def saved(self) -> float:
        """Share of the time that the sweep saved over running its strategies one by one; 0 where it saved none."""
        cost = self.sweep.cost
        alone = cost.seconds_one_by_one
        return round(max(0.0, 1.0 - cost.seconds / alone), 2) if alone else 0.0

    @property
    def terms(self) -> list[tuple[str, str]]:
        """(term, meaning) of the terms that a reader needs in order to read the figures."""
        return terms(self.sweep.alpha, self.sweep.margin)

    @staticmethod
    def best_names(offers: Sequence[Offer]) -> list[str]:
        """The offers that no other one dominates, the cheapest first."""
        pairs = zip(offers, not_dominated(offers), strict=True)
        return [offer.name for offer in sorted((offer for offer, is_best in pairs if is_best), key=lambda o: o.price)]

    @staticmethod
    def _offer(line: Line, price: float, unit: str) -> Offer:
        title = f"{line.name}: {score(line.arm.mean)} for {count(price)} {unit}"
        return Offer(line.name, line.kind, price, line.arm.mean, title)


def _kind(has_weights: bool) -> str:
    return "weights" if has_weights else "prompts"


def _difference(contrast: ArmContrast, name: str, kinds: Mapping[str, str]) -> Estimate:
    low, mean, high = contrast.low, contrast.mean, contrast.high
    title = f"{contrast.left} minus {contrast.right}: {signed(mean)} ({signed(low)} to {signed(high)})"
    return Estimate(name, kinds.get(contrast.left, "prompts"), mean, low, high, signed(mean), title)
