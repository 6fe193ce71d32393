"""The tasks of a sweep: the labels of their stages, and their reports by their position in the prefix tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from bt_core.config import step_kinds
from bt_core.errors import ConfigError, DataError
from bt_core.records import StageReport, Usage
from bt_core.strategy import Strategy, format_strategy

#: The arms of the paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), table 1.
DEFAULT_STRATEGIES: tuple[Strategy, ...] = tuple(tuple(arm) for arm in ("p", "w", "pp", "ww", "pw", "wp", "pwp", "wpw"))
DEFAULT_SEEDS = (0, 1, 2)


def check_sweep(strategies: Sequence[Strategy], seeds: Sequence[int]) -> None:
    """Refuse strategies and seeds that do not make a sweep.

    Raises:
        ConfigError: when there is no strategy or no seed, or one is named twice.
    """
    if not strategies:
        raise ConfigError('The sweep has no strategy: name some, such as "p; w; p -> w".')
    if not seeds:
        raise ConfigError('The sweep has no seed: name some, such as "0,1,2".')
    for what, values in (("strategy", [*map(format_strategy, strategies)]), ("seed", [*map(str, seeds)])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"The {what} `{twice}` is named twice: name each {what} once.")


@dataclass(frozen=True)
class SweepStage:
    """A stage of a sweep, by its position in the prefix tree: an optimisation step, or work on a step's program."""

    seed: int
    #: The steps behind the stage, the last one included.
    prefix: Strategy
    #: What is done with the program of those steps: `bootstrap` or `score`; empty for the last step itself.
    work: str = ""

    @property
    def label(self) -> str:
        """The stage's label: `s0.p.w` for a step, `s0.p.bootstrap` for traces of the program after `p`."""
        return f"s{self.seed}.{position(self.prefix, self.work)}"

    @classmethod
    def of(cls, label: str) -> "SweepStage":
        """The stage that has this label."""
        seed, *parts = label.split(".")
        prefix = tuple(takewhile(lambda part: part in step_kinds(), parts))
        return cls(int(seed.removeprefix("s")), prefix, ".".join(parts[len(prefix) :]))


def position(prefix: Strategy, work: str = "") -> str:
    """The position in the tree of a stage: `p.w` for a step, `p.bootstrap` for traces of the program after `p`."""
    return ".".join((*prefix, *filter(None, (work,))))


def labelled(seed: int, reports: Iterable[StageReport]) -> list[StageReport]:
    """The reports of the stages behind a program, in order, each under its label in the sweep instead of its own.

    A stage has the same label of its own in a sweep and in a run of one strategy (`2.w`), so that Kubeflow's cache
    serves both.
    """
    prefix: Strategy = ()
    placed = []
    for report in reports:
        is_step = report.kind in step_kinds()
        prefix = (*prefix, report.kind) if is_step else prefix
        label = SweepStage(seed, prefix, "" if is_step else report.kind).label
        placed.append(replace(report, stage=label))
    return placed


@dataclass(frozen=True)
class Cost:
    """The cost of some tasks together; seconds are wall time, one task after the other."""

    usage: Usage
    train_tokens: int
    seconds: float

    @classmethod
    def of(cls, reports: Iterable[StageReport]) -> "Cost":
        """The sum over the reports."""
        summed = list(reports)
        return cls(
            sum((report.usage for report in summed), Usage()),
            sum(int(report.metrics.get("train/tokens", 0)) for report in summed),
            round(sum(report.ended - report.started for report in summed), 3),
        )


class SweepReports:
    """The reports of a whole sweep.

    Raises:
        DataError: when a report that a path needs is not there.
    """

    def __init__(self, reports: Sequence[StageReport]) -> None:
        self.all = tuple(reports)
        self.prepared = {int(report.params["seed"]): report for report in reports if report.kind == "prepare"}
        self._by_stage = {SweepStage.of(report.stage): report for report in reports if report.kind != "prepare"}

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order in which they were prepared."""
        return list(self.prepared)

    @property
    def steps(self) -> dict[SweepStage, StageReport]:
        """The optimisation steps, parents before children under each seed."""
        return {stage: report for stage, report in self._by_stage.items() if not stage.work}

    def at(self, stage: SweepStage) -> StageReport:
        """The report of one stage."""
        try:
            return self._by_stage[stage]
        except KeyError:
            raise DataError(
                f"The sweep has no report of stage {stage.label}: hand over the reports of all its tasks."
            ) from None

    def traces(self, step: SweepStage) -> StageReport:
        """The report of the bootstrap whose traces a step learnt from."""
        return self.at(replace(step, prefix=step.prefix[:-1], work="bootstrap"))

    def scored(self, seed: int, strategy: Strategy) -> StageReport:
        """The report with the test scores of a strategy's last program."""
        return self.at(SweepStage(seed, strategy, "score"))

    def making(self, seed: int, strategy: Strategy) -> list[StageReport]:
        """All reports behind a strategy's program, as if it were made alone: data, and traces for each step."""
        steps = [SweepStage(seed, strategy[:length]) for length in range(1, len(strategy) + 1)]
        return [self.prepared[seed], *(report for step in steps for report in (self.traces(step), self.at(step)))]

    def validation(self, seed: int, strategy: Strategy) -> float:
        """The validation score of a strategy's last program."""
        return self.at(SweepStage(seed, strategy)).metrics["val/score"]

    def vanilla_validation(self, seed: int) -> float:
        """The validation score of the program before any step, which the first steps measure."""
        first = next(report for stage, report in self.steps.items() if stage.seed == seed and len(stage.prefix) == 1)
        return first.metrics["val/score_before"]

    def outcome(self, step: SweepStage) -> str:
        """The sentence of a step that had nothing to do, else empty; it is in the lineage of every program after it."""
        for stage, report in self._by_stage.items():
            is_after = stage.seed == step.seed and stage.prefix[: len(step.prefix)] == step.prefix
            if stage.work == "score" and is_after:
                return str(report.params["outcomes"][len(step.prefix) - 1])
        return ""


def skipped(reports: SweepReports, strategy: Strategy) -> list[str]:
    """A sentence for each step of an arm that had nothing to do, under any seed."""
    steps = [SweepStage(seed, strategy[:n]) for seed in reports.seeds for n in range(1, len(strategy) + 1)]
    outcomes = [(step, reports.outcome(step)) for step in steps]
    return [
        f"Seed {step.seed}, step `{format_strategy(step.prefix)}`: {outcome}." for step, outcome in outcomes if outcome
    ]
