"""Which program a sweep ships: the best by validation, the best within a price, or one that the user names."""

from collections.abc import Sequence
from dataclasses import dataclass

from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import SweepReports, SweepStage
from bt_core.strategy import Strategy, format_strategy, parse_strategy

#: Who chose the shipped program, in sweep.json.
BY_VALIDATION, BY_PRICE, BY_NAME = "validation", "validation within the price", "name"


@dataclass(frozen=True)
class Choice:
    """The rule by which a sweep chooses the program that it ships.

    Attributes:
        most_prompt_tokens: the most prompt tokens a test row that a program may take; 0: any number. They are counted
            on the test rows, whose labels and scores that does not use.
        named: the program to ship whatever its scores, as `STRATEGY@SEED`; empty: validation chooses.

    Raises:
        ConfigError: when the price is negative or no number, both rules are given, or the name is none.
    """

    most_prompt_tokens: float = 0.0
    named: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.most_prompt_tokens < float("inf"):
            raise ConfigError(
                f"--max-prompt-tokens is {self.most_prompt_tokens}: give the most prompt tokens a row, such as 100."
            )
        if self.named and self.most_prompt_tokens:
            raise ConfigError("--ship names the program already: leave out --max-prompt-tokens.")
        if self.named:
            _parsed(self.named)

    @property
    def by(self) -> str:
        """Who chooses, as sweep.json says it."""
        return BY_NAME if self.named else BY_PRICE if self.most_prompt_tokens else BY_VALIDATION

    def check(self, strategies: Sequence[Strategy], seeds: Sequence[int]) -> None:
        """Check that a named program is one of the sweep's.

        Raises:
            ConfigError: when it is not.
        """
        if not self.named:
            return
        strategy, seed = _parsed(self.named)
        if strategy not in strategies or seed not in seeds:
            arms = "; ".join(map(format_strategy, strategies))
            raise ConfigError(
                f"--ship {self.named} is no program of this sweep: name one of {arms} and, behind `@`, one of the"
                f" seeds {', '.join(map(str, seeds))}."
            )

    def of(self, tree: SweepReports, strategies: Sequence[Strategy]) -> SweepStage | None:
        """The last step of the program to ship; None: the vanilla program stays.

        An arm counts where the mean price of its programs is within the limit. Of these, the arm of highest mean
        validation score is chosen, the earlier one on ties, and of its programs within the limit the best one. An arm
        that does not beat vanilla on validation is not.
        """
        if self.named:
            strategy, seed = _parsed(self.named)
            return SweepStage(seed, strategy)

        def validation(strategy: Strategy) -> float:
            return sum(tree.validation(seed, strategy) for seed in tree.seeds) / len(tree.seeds)

        def price(seed: int, strategy: Strategy) -> float:
            return float(tree.scored(seed, strategy).metrics["cost/prompt_tokens_per_example"])

        limit = self.most_prompt_tokens or float("inf")
        within = [arm for arm in strategies if sum(price(seed, arm) for seed in tree.seeds) / len(tree.seeds) <= limit]
        vanilla = sum(map(tree.vanilla_validation, tree.seeds)) / len(tree.seeds)
        best = max(within, key=validation, default=None)
        if best is None or validation(best) <= vanilla:
            return None
        return SweepStage(
            max(tree.seeds, key=lambda seed: (price(seed, best) <= limit, tree.validation(seed, best))), best
        )


#: The best by validation, at any price.
BEST = Choice()


def _parsed(name: str) -> tuple[Strategy, int]:
    text, _, seed = name.rpartition("@")
    if not text or not seed.strip().isdecimal():
        raise ConfigError(f"--ship {name} names no program: write STRATEGY@SEED, such as 'p -> w@0'.")
    return parse_strategy(text.strip()), int(seed)
