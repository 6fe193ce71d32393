"""Compare the arms of a sweep: the table, the verdict, and the winner, which validation chooses and no test score."""

import shutil
import time
from collections.abc import Sequence

from bt_core.config import Config, step_kinds
from bt_core.errors import DataError
from bt_core.formats.rows import ScoredRow, read_results
from bt_core.formats.sweep import SCHEMA, PlannedLook, SweepFigures, VerdictText
from bt_core.formats.winner import WinnerName
from bt_core.records import StageReport
from bt_core.statistics import DEFAULT_MARGIN, VANILLA, Arm, Table, Word, compare, judge
from bt_core.statistics.clusters import GroupNames
from bt_core.statistics.judging.looks import ONLY_LOOK, Look
from bt_core.steps.folders import write_folder_config
from bt_core.steps.handover import UNCHANGED
from bt_core.steps.sweep.choice import BEST, Choice
from bt_core.steps.sweep.figures import arm_scores, node, origin, sweep_cost, vanilla_scores
from bt_core.steps.sweep.folders import PROGRAM_URI, ComparedFolder, ScoredFolder
from bt_core.steps.sweep.tree import SweepReports, SweepStage
from bt_core.strategy import Strategy, format_strategy, parse_strategy

#: The verdict's label where a kind of arm is missing.
NO_VERDICT = "no verdict"


def compare_arms(
    seeds: Sequence[ScoredFolder],
    strategies: Sequence[Strategy],
    compared: ComparedFolder,
    margin: float = DEFAULT_MARGIN,
    look: Look = ONLY_LOOK,
    command: str = "",
    choice: Choice = BEST,
) -> tuple[StageReport, str]:
    """Write sweep.json (docs/formats.md) from the reports of all stages, and copy what the report is made of.

    These are the winner's results and traces, and vanilla's results.

    Args:
        seeds: the scores of every seed; the vanilla program is scored under the first one.
        strategies: the arms, in the order of the table.
        compared: the folder to write.
        margin: the largest gain that is not worth having.
        look: which of the planned looks this is; its level is the chance of any false claim.
        command: how to run the sweep again.
        choice: which program is shipped.

    Returns:
        The stage's report, and the address of the program to ship, which is the winner's. Where no arm won, it is
        that of the vanilla program.

    Raises:
        DataError: when reports are missing, or programs were scored on different rows.
        ConfigError: when `margin` or the look's level is not between 0 and 1, or the sweep has no program of the name.
    """
    started = time.time()
    config = seeds[0].config
    tree = SweepReports([report for seed in seeds for report in seed.reports])
    _check_rows(tree, strategies)
    groups = [row.group for row in read_results(seeds[0].results(VANILLA), ScoredRow)]
    choice.check(strategies, tree.seeds)
    figures = _figures(tree, strategies, groups, config, margin, look, command, choice)
    compared.path.mkdir(parents=True, exist_ok=True)
    figures.write(compared.sweep)
    write_folder_config(compared.path, config)
    winner = figures.winner
    shipped = tree.scored(*((winner.seed, parse_strategy(winner.arm)) if winner else (tree.seeds[0], ())))
    place = dict(zip(tree.seeds, seeds, strict=True))[shipped.params["seed"]]
    shutil.copyfile(place.results(shipped.params["arm"]), compared.results)
    shutil.copyfile(place.traces(shipped.params["arm"]), compared.traces)
    shutil.copyfile(seeds[0].results(VANILLA), compared.vanilla)
    report = StageReport("compare", "compare", note=figures.verdict.sentence, started=started, ended=time.time())
    return report, str(shipped.params[PROGRAM_URI])


def _figures(
    tree: SweepReports,
    strategies: Sequence[Strategy],
    groups: GroupNames,
    config: Config,
    margin: float,
    look: Look,
    command: str,
    choice: Choice,
) -> SweepFigures:
    """The content of sweep.json, from the reports of all stages and the groups of the test rows.

    The other arguments are those of `compare_arms`.
    """
    arms = [_arm(tree, strategy) for strategy in strategies]
    vanilla = tree.scored(tree.seeds[0], ())
    table = compare(Arm(VANILLA, False, dict.fromkeys(tree.seeds, vanilla.scores)), arms, look.level, groups)
    winner = choice.of(tree, strategies)
    unchanged = [format_strategy(strategy) for strategy in strategies if _changed_nothing(tree, strategy)]
    return SweepFigures(
        schema=SCHEMA,
        **origin(tree, config, command),
        alpha=look.level,
        look=PlannedLook.model_validate(look),
        margin=margin,
        vanilla=vanilla_scores(table.vanilla, vanilla),
        arms=tuple(arm_scores(tree, strategy, arm, table) for strategy, arm in zip(strategies, arms, strict=True)),
        verdict=_with_look(_verdict(table, margin, look.last_level, unchanged), look),
        nodes=tuple(node(tree, stage) for stage in tree.steps),
        winner=_named(winner, choice) if winner else None,
        cost=sweep_cost(tree, strategies),
    )


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


def _named(winner: SweepStage, choice: Choice) -> WinnerName:
    most = choice.most_prompt_tokens or None
    return WinnerName(arm=format_strategy(winner.prefix), seed=winner.seed, chosen_by=choice.by, max_prompt_tokens=most)


def _changed_nothing(tree: SweepReports, strategy: Strategy) -> bool:
    """Whether every step of a strategy left the program as it was, under every seed."""
    steps = [report for seed in tree.seeds for report in tree.making(seed, strategy) if report.kind in step_kinds()]
    return all(UNCHANGED in report.params for report in steps)


def _verdict(table: Table, margin: float, plan_alpha: float, unchanged: Sequence[str]) -> VerdictText:
    """The verdict, and the arms that changed nothing; where a kind of arm is missing, a sentence that says so."""
    same = "".join(f" `{arm}` changed nothing: its program is the vanilla one." for arm in unchanged)
    try:
        verdict = judge(table, margin, plan_alpha, unchanged)
    except DataError as error:
        return VerdictText(label=NO_VERDICT, word="", sentence=str(error), more_rows=(0, 0), more_seeds=(0, 0))
    return VerdictText(
        label=verdict.label,
        word=verdict.word.value,
        sentence=verdict.sentence + same,
        more_rows=verdict.needs.rows,
        more_seeds=verdict.needs.seeds,
    )


def _with_look(verdict: VerdictText, look: Look) -> VerdictText:
    """The verdict, with a sentence at its end that says which look it rests on."""
    sentence = look.sentence(is_open=verdict.word == Word.UNDECIDED)
    return verdict.model_copy(update={"sentence": f"{verdict.sentence} {sentence}".rstrip()})
