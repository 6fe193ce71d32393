"""Compare the arms of a sweep: the table, the verdict, and the winner, which validation chooses and no test score."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.config import Config, step_kinds
from bt_core.errors import DataError
from bt_core.records import StageReport, canonical_json
from bt_core.statistics import DEFAULT_MARGIN, VANILLA, Arm, Table, compare, judge
from bt_core.steps.sweep.figures import arm_line, cost, line, node, origin
from bt_core.steps.sweep.tree import Place, SweepReports
from bt_core.strategy import Strategy, format_strategy

SCHEMA = 1
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
    """Write sweep.json (docs/formats.md) from what the tasks reported, less what only programs and results tell.

    Args:
        reports: of every task of the sweep; the vanilla program is scored under the first seed.
        config: the merged configuration of the first seed.
        strategies: the arms, in the order of the table.
        sweep: JSON file to write.
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
    bare = tree.scored(tree.seeds[0], ())
    table = compare(Arm(VANILLA, False, dict.fromkeys(tree.seeds, bare.scores)), arms, alpha)
    winner = _winner(tree, strategies)
    content = {
        "schema": SCHEMA,
        **origin(tree, config, command),
        "vanilla": line(table.vanilla) | {"prompt_tokens_per_example": bare.metrics["cost/prompt_tokens_per_example"]},
        "arms": [arm_line(tree, strategy, arm, table) for strategy, arm in zip(strategies, arms, strict=True)],
        "alpha": alpha,
        "margin": margin,
        "verdict": _verdict(table, margin),
        "nodes": [node(tree, place) for place in tree.steps],
        "winner": winner and {"arm": format_strategy(winner.prefix), "seed": winner.seed},
        "cost": cost(tree, strategies),
    }
    sweep.parent.mkdir(parents=True, exist_ok=True)
    sweep.write_text(canonical_json(content), encoding="utf-8")
    shipped = tree.scored(winner.seed, winner.prefix) if winner else bare
    report = StageReport("compare", "compare", note=content["verdict"]["sentence"], started=started, ended=time.time())
    return Compared(report, shipped.params[PROGRAM_URI], shipped.params[RESULTS_URI], bare.params[RESULTS_URI])


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


def _winner(tree: SweepReports, strategies: Sequence[Strategy]) -> Place | None:
    """The arm of highest mean validation score, and its best seed; earlier on ties. None: none beats vanilla."""

    def mean(strategy: Strategy) -> float:
        return sum(tree.validation(seed, strategy) for seed in tree.seeds) / len(tree.seeds)

    best = max(strategies, key=mean)
    vanilla = sum(map(tree.vanilla_validation, tree.seeds)) / len(tree.seeds)
    if mean(best) <= vanilla:
        return None
    return Place(max(tree.seeds, key=lambda seed: tree.validation(seed, best)), best)


def _verdict(table: Table, margin: float) -> dict[str, Any]:
    """The verdict; where a kind of arm is missing, the sentence that says so and no word."""
    try:
        found = judge(table, margin)
    except DataError as error:
        return {"label": NO_VERDICT, "word": "", "sentence": str(error), "more_rows": 0, "more_seeds": 0}
    more = {"more_rows": found.more_rows, "more_seeds": found.more_seeds}
    return {"label": found.label, "word": found.word.value, "sentence": found.sentence, **more}
