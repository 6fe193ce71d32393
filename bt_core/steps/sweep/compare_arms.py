"""Compare the arms of a sweep: the table, the verdict, and the winner, which validation chooses and no test score."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bt_core.config import Config, step_kinds
from bt_core.errors import DataError
from bt_core.formats.sweep import SCHEMA, SweepFigures, VerdictText
from bt_core.formats.winner import WinnerName
from bt_core.records import StageReport
from bt_core.statistics import DEFAULT_MARGIN, VANILLA, Arm, Table, compare, judge
from bt_core.steps.sweep.figures import arm_scores, node, origin, sweep_cost, vanilla_scores
from bt_core.steps.sweep.tree import SweepReports, SweepStage
from bt_core.strategy import Strategy, format_strategy

#: The verdict's label where a kind of arm is missing.
NO_VERDICT = "no verdict"
#: Params of a score's report that say where the scored program and its results lie.
PROGRAM_URI, RESULTS_URI = "program_uri", "results_uri"


@dataclass(frozen=True)
class Compared:
    """The stage's report, and where the winner's program, its results and those of the vanilla program lie.

    Without a winner the vanilla program stands in its place.
    """

    report: StageReport
    program: str
    results: str
    vanilla: str


def compare_arms(
    reports: Sequence[StageReport],
    config: Config,
    strategies: Sequence[Strategy],
    sweep: Path,
    margin: float = DEFAULT_MARGIN,
    alpha: float = 0.05,
    command: str = "",
) -> Compared:
    """Write sweep.json (docs/formats.md) from the tasks' reports, without what `report_sweep` adds from the programs.

    Args:
        reports: the reports of every task of the sweep; the vanilla program is scored under the first seed.
        config: the merged configuration of the first seed.
        strategies: the arms, in the order of the table.
        sweep: the JSON file to write.
        margin: the largest gain that is not worth having.
        alpha: the chance of any false claim.
        command: how to run the sweep again.

    Raises:
        DataError: when reports are missing, or programs were scored on different rows.
        ConfigError: when `margin` or `alpha` is not between 0 and 1.
    """
    started = time.time()
    tree = SweepReports(reports)
    _check_rows(tree, strategies)
    arms = [_arm(tree, strategy) for strategy in strategies]
    vanilla = tree.scored(tree.seeds[0], ())
    table = compare(Arm(VANILLA, False, dict.fromkeys(tree.seeds, vanilla.scores)), arms, alpha)
    winner = _winner(tree, strategies)
    figures = SweepFigures(
        schema=SCHEMA,
        **origin(tree, config, command),
        alpha=alpha,
        margin=margin,
        vanilla=vanilla_scores(table.vanilla, vanilla),
        arms=tuple(arm_scores(tree, strategy, arm, table) for strategy, arm in zip(strategies, arms, strict=True)),
        verdict=_verdict(table, margin),
        nodes=tuple(node(tree, stage) for stage in tree.steps),
        winner=WinnerName(arm=format_strategy(winner.prefix), seed=winner.seed) if winner else None,
        cost=sweep_cost(tree, strategies),
    )
    figures.write(sweep)
    shipped = tree.scored(winner.seed, winner.prefix) if winner else vanilla
    report = StageReport("compare", "compare", note=figures.verdict.sentence, started=started, ended=time.time())
    return Compared(report, shipped.params[PROGRAM_URI], shipped.params[RESULTS_URI], vanilla.params[RESULTS_URI])


def _check_rows(tree: SweepReports, strategies: Sequence[Strategy]) -> None:
    first = tree.scored(tree.seeds[0], ()).params["examples"]
    for seed in tree.seeds:
        for strategy in strategies:
            if tree.scored(seed, strategy).params["examples"] != first:
                raise DataError(
                    f"Arm `{format_strategy(strategy)}`, seed {seed} was scored on other test rows than the vanilla "
                    "program: give every seed the same data and the same `data_seed`."
                )


def _arm(tree: SweepReports, strategy: Strategy) -> Arm:
    """An arm is its last program, whichever stage was best."""
    scores = {seed: tree.scored(seed, strategy).scores for seed in tree.seeds}
    validation = {seed: tree.validation(seed, strategy) for seed in tree.seeds}
    return Arm(format_strategy(strategy), any(step_kinds()[kind].trains for kind in strategy), scores, validation)


def _winner(tree: SweepReports, strategies: Sequence[Strategy]) -> SweepStage | None:
    """The last step of the arm of highest mean validation score under its best seed; the earlier one on ties.

    None if no arm beats vanilla.
    """

    def mean(strategy: Strategy) -> float:
        return sum(tree.validation(seed, strategy) for seed in tree.seeds) / len(tree.seeds)

    best = max(strategies, key=mean)
    vanilla = sum(map(tree.vanilla_validation, tree.seeds)) / len(tree.seeds)
    if mean(best) <= vanilla:
        return None
    return SweepStage(max(tree.seeds, key=lambda seed: tree.validation(seed, best)), best)


def _verdict(table: Table, margin: float) -> VerdictText:
    """The verdict; where a kind of arm is missing, no word but a sentence that says so."""
    try:
        verdict = judge(table, margin)
    except DataError as error:
        return VerdictText(label=NO_VERDICT, word="", sentence=str(error), more_rows=0, more_seeds=0)
    return VerdictText(
        label=verdict.label,
        word=verdict.word.value,
        sentence=verdict.sentence,
        more_rows=verdict.more_rows,
        more_seeds=verdict.more_seeds,
    )
