"""The tasks of a sweep: how their stages are called, and their reports by where they stand in the prefix tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from bt_core.config import step_kinds
from bt_core.errors import ConfigError, DataError
from bt_core.records import StageReport, Usage
from bt_core.strategy import Strategy, format_strategy, prefix_tree

#: The arms of the paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), table 1.
DEFAULT_STRATEGIES: tuple[Strategy, ...] = tuple(tuple(arm) for arm in ("p", "w", "pp", "ww", "pw", "wp", "pwp", "wpw"))
DEFAULT_SEEDS = (0, 1, 2)


def check_sweep(strategies: Sequence[Strategy], seeds: Sequence[int]) -> None:
    """Refuse what is no sweep.

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


def tasks_a_seed(strategies: Sequence[Strategy]) -> int:
    """Tasks of one seed: its data, a step for each node, traces for each node with children, a score for each arm."""
    nodes = prefix_tree(strategies)
    return 1 + len(nodes) + len({node.parent for node in nodes}) + sum(node.is_wanted for node in nodes)


@dataclass(frozen=True)
class Place:
    """Where a task stands: its seed, the steps before it and, for a step, that step itself."""

    seed: int
    prefix: Strategy
    #: `bootstrap` and `score` work on the program of that prefix; empty: the last step itself.
    work: str = ""

    @property
    def stage(self) -> str:
        """The stage's label, `s0.p.w` for a step and `s0.p.bootstrap` for traces of the program after `p`."""
        return ".".join(part for part in (f"s{self.seed}", *self.prefix, self.work) if part)

    @classmethod
    def of(cls, stage: str) -> "Place":
        """The inverse of `stage`."""
        seed, *parts = stage.split(".")
        prefix = tuple(takewhile(lambda part: part in step_kinds(), parts))
        return cls(int(seed.removeprefix("s")), prefix, ".".join(parts[len(prefix) :]))


@dataclass(frozen=True)
class Cost:
    """What tasks took together; seconds are wall time, one task after the other."""

    usage: Usage
    train_tokens: int
    seconds: float

    @classmethod
    def of(cls, reports: Iterable[StageReport]) -> "Cost":
        found = list(reports)
        return cls(
            sum((report.usage for report in found), Usage()),
            sum(int(report.metrics.get("train/tokens", 0)) for report in found),
            round(sum(report.ended - report.started for report in found), 3),
        )


class SweepReports:
    """The reports of a whole sweep.

    Raises:
        DataError: when a report that a path needs is not there.
    """

    def __init__(self, reports: Sequence[StageReport]) -> None:
        self.all = tuple(reports)
        self.prepared = {int(report.params["seed"]): report for report in reports if report.kind == "prepare"}
        self._placed = {Place.of(report.stage): report for report in reports if report.kind != "prepare"}

    @property
    def seeds(self) -> list[int]:
        """In the order in which they were prepared."""
        return list(self.prepared)

    @property
    def steps(self) -> dict[Place, StageReport]:
        """The optimisation steps, parents before children under each seed."""
        return {place: report for place, report in self._placed.items() if not place.work}

    def at(self, place: Place) -> StageReport:
        """The report of one task."""
        try:
            return self._placed[place]
        except KeyError:
            raise DataError(
                f"The sweep has no report of stage {place.stage}: hand over the reports of all its tasks."
            ) from None

    def traces(self, place: Place) -> StageReport:
        """The traces that a step learnt from."""
        return self.at(replace(place, prefix=place.prefix[:-1], work="bootstrap"))

    def scored(self, seed: int, strategy: Strategy) -> StageReport:
        """The test scores of a program."""
        return self.at(Place(seed, strategy, "score"))

    def making(self, seed: int, strategy: Strategy) -> list[StageReport]:
        """Everything that makes the program of a strategy, as if it were made alone: data, and traces for each step."""
        places = [Place(seed, strategy[:length]) for length in range(1, len(strategy) + 1)]
        return [self.prepared[seed], *(part for place in places for part in (self.traces(place), self.at(place)))]

    def validation(self, seed: int, strategy: Strategy) -> float:
        """The validation score of a strategy's last program."""
        return self.at(Place(seed, strategy)).metrics["val/score"]

    def vanilla_validation(self, seed: int) -> float:
        """The validation score of the program before any step, which the first steps measure."""
        first = next(report for place, report in self.steps.items() if place.seed == seed and len(place.prefix) == 1)
        return first.metrics["val/score_before"]

    def outcome(self, place: Place) -> str:
        """What a step had to say when it had nothing to do; it stands in the lineage of every program after it."""
        for other, report in self._placed.items():
            below = other.seed == place.seed and other.prefix[: len(place.prefix)] == place.prefix
            if other.work == "score" and below:
                return str(report.params["outcomes"][len(place.prefix) - 1])
        return ""


def spell(prefix: Strategy) -> str:
    """A node's name in files, `p.w`; empty for the root."""
    return ".".join(prefix)


def skipped(reports: SweepReports, strategy: Strategy) -> list[str]:
    """A sentence for each step of an arm that had nothing to do, under any seed."""
    places = [Place(seed, strategy[:n]) for seed in reports.seeds for n in range(1, len(strategy) + 1)]
    found = [(place, reports.outcome(place)) for place in places]
    return [
        f"Seed {place.seed}, step `{format_strategy(place.prefix)}`: {outcome}." for place, outcome in found if outcome
    ]
