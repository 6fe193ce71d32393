"""What a strategy will cost, from a few measured rows and the settings; docs/your-own-task.md has the formula.

Every figure is an upper bound for rows like the measured ones, since racing drops candidates, prompts share prefixes,
answers come from the cache, and training uses only traces that pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bt_core.config import Config
from bt_core.strategy import Strategy, format_strategy


@dataclass(frozen=True)
class Measured:
    """LM calls and tokens of a row, as means over the measured rows.

    `demo_tokens` is what one demonstration in every predictor adds to a row's prompts. `train_tokens` is the length of
    a row's calls as training rows, prompts and answers together.
    """

    calls: float
    prompt_tokens: float
    completion_tokens: float
    demo_tokens: float
    train_tokens: float


@dataclass(frozen=True)
class Cost:
    """Upper bounds: program runs on a row, the LM calls and tokens of those runs, and the tokens trained on."""

    strategy: str
    runs: int
    lm_calls: int
    prompt_tokens: int
    completion_tokens: int
    train_tokens: int


@dataclass
class _Bill:
    """Adds up program runs, and the demonstrations in their prompts."""

    config: Config
    measured: Measured
    runs: float = 0.0
    demo_runs: float = 0.0
    train_tokens: float = 0.0

    def run(self, rows: float, demos: float = 0.0) -> None:
        self.runs += rows
        self.demo_runs += rows * demos

    def calibrate(self, demos: float = 0.0) -> None:
        if self.config.decoding.calibration == "train":
            self.run(self.config.rows.train, demos)

    def search(self, demos: float, are_own: bool) -> float:
        """Add `p`; returns how many demonstrations it ships at most.

        The candidates are the demo-free program, the incoming prompts unless they are the task's own, one full demo
        set, and sets of a random size.
        """
        rows, most = self.config.rows.val, self.config.p.max_demos
        incoming = [] if are_own else [demos]
        for candidate_demos in (0.0, *incoming, most, *[(most + 1) / 2] * (self.config.p.candidates - 1)):
            self.run(rows, candidate_demos)
            self.calibrate(candidate_demos)
        return float(most)

    def instruct(self, kind: str, demos: float) -> float:
        """Add `g` or `m`, whose budget is a setting; returns how many demonstrations it ships."""
        settings = self.config.g if kind == "g" else self.config.m
        shipped = float(settings.max_demos) or demos
        self.run(settings.metric_calls, shipped)
        return shipped

    def tune(self, demos: float, first: bool) -> float:
        """Add `w`; returns how many demonstrations it ships.

        It validates before (where no step has done so) and after, samples for the gate, and trains.
        """
        config, shipped = self.config, demos if self.config.w.sft_prompt == "optimised" else 0.0
        if first:
            self.run(config.rows.val, demos)
        if config.w.headroom_samples:
            # Where a bootstrap keeps a sampled trace of a row, the row is run greedily again.
            self.run((config.w.headroom_samples + (config.bootstrap.attempts > 1)) * config.rows.train, demos)
        self.run(config.rows.val, shipped)
        self.calibrate(shipped)
        row = self.measured.train_tokens + shipped * self.measured.demo_tokens
        self.train_tokens += config.w.epochs * config.rows.train * (1 - config.w.holdout) * row
        return shipped


def estimate(strategy: Strategy, config: Config, measured: Measured) -> Cost:
    """The cost of a strategy, from the data to the test."""
    bill, demos, most, are_own = _Bill(config, measured), 0.0, 0.0, True
    bill.calibrate()
    for position, kind in enumerate(strategy):
        bill.run(config.bootstrap.attempts * config.rows.train, demos)
        if kind == "p":
            demos = bill.search(demos, are_own)
        elif kind == "w":
            demos = bill.tune(demos, position == 0)
        elif kind in ("g", "m"):
            demos = bill.instruct(kind, demos)
        else:  # what a step kind of another package costs is not known: its bootstrap is counted, and one validation
            bill.run(config.rows.val, demos)
        most, are_own = max(most, demos), kind == "w" and (are_own or config.w.sft_prompt == "vanilla")
    bill.run(config.rows.test)
    bill.run(config.rows.test, most)  # the program that is shipped may be that of an earlier step
    return Cost(
        format_strategy(strategy),
        round(bill.runs),
        round(bill.runs * measured.calls),
        round(bill.runs * measured.prompt_tokens + bill.demo_runs * measured.demo_tokens),
        round(bill.runs * measured.completion_tokens),
        round(bill.train_tokens),
    )


def estimates(strategies: Sequence[Strategy], config: Config, measured: Measured | None) -> tuple[Cost, ...]:
    """The cost of each strategy; empty where no row could be measured."""
    return tuple(estimate(strategy, config, measured) for strategy in strategies) if measured else ()
