"""Record a component's stages in MLflow as runs, and at the end the result of the whole pipeline run."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import bt_tracking
from bt_core.config import Config, step_kinds
from bt_core.errors import TrackingError
from bt_core.formats.sweep import Sweep
from bt_core.program import program_sha256, read_program
from bt_core.records import StageReport
from bt_core.steps.stage import FinishedStage
from bt_core.steps.sweep.tree import labelled
from bt_core.strategy import format_strategy
from bt_runtime.reports import RUN_ID
from bt_tracking.retraining.ledger import ROLES_FILE, ledger_tags

#: Environment variable of the pipeline's pods: the strategy, as `p-w-p`.
STRATEGY_VARIABLE = "BT_STRATEGY"
#: Its value for a sweep, whose stages belong to several strategies and seeds.
SWEEP = "sweep"
#: Kinds of stages that belong to the whole sweep.
_OF_ALL_SEEDS = ("compare", "report")
#: Stages that fail when MLflow fails: nothing has been spent before them, or what follows needs MLflow.
_NEEDED = ("prepare", "fresh", "promote")


def tracked(
    stage: FinishedStage,
    config: Config,
    behind: Sequence[StageReport] = (),
    record_result: Callable[[str | None], None] = lambda run_id: None,
    nested: bool = False,
) -> StageReport:
    """Record a stage whose outputs are on disk, then call `record_result` with the id of its MLflow run.

    The stage's outputs are not given up when MLflow does not answer or refuses: the run goes on, and the report warns.

    Args:
        stage: the report, and what it is recorded with.
        config: the merged configuration.
        behind: the reports of the stages that led to the program that this one worked on.
        record_result: records the result of the whole run.
        nested: whether its task has several stages.

    Returns:
        The report with the id of the stage's run, which is None where MLflow has none.

    Raises:
        TrackingError: when the stage is one that needs MLflow.
    """
    report = stage.report
    if report.kind in _NEEDED:
        bt_tracking.wait_patiently()
    try:
        run_id = track_stage(stage, config, behind, nested)
        record_result(run_id)
        return replace(report, params=report.params | {RUN_ID: run_id})
    except TrackingError as error:
        if report.kind in _NEEDED:
            raise
        print(error, file=sys.stderr, flush=True)
        warning = f"{report.stage} is not in MLflow, its task's log says why; the run goes on."
        return replace(report, params=report.params | {RUN_ID: None}, warnings=(*report.warnings, warning))


def track_stage(stage: FinishedStage, config: Config, behind: Sequence[StageReport], nested: bool) -> str | None:
    """Record a stage whose outputs are on disk. Returns the id of its run, or None when tracking is off."""
    report, slug = stage.report, os.environ.get(STRATEGY_VARIABLE, "")
    source = config.data or config.task
    used = [bt_tracking.DataSet.from_jsonl(path, split, config.task, source) for split, path in stage.data.items()]
    if slug:  # at every stage, since earlier ones may have been answered from the cache
        strategy, one_seed = slug.replace("-", " -> "), slug != SWEEP
        bt_tracking.start_parent(config, strategy, datasets=used, started=report.started, one_seed=one_seed)
    tags: dict[str, str] = {}
    if slug == SWEEP:
        report, tags = _in_sweep(report, config, behind)
    if ROLES_FILE in stage.artifacts:
        tags |= ledger_tags(config.task)
    return bt_tracking.record(report, stage.artifacts, datasets=used, tags=tags, nested=nested)


def _in_sweep(report: StageReport, config: Config, behind: Sequence[StageReport]) -> tuple[StageReport, dict[str, str]]:
    """The stage under its label in the sweep, and the tags by which seeds and arms are distinguished and averaged."""
    if report.kind in _OF_ALL_SEEDS:
        return report, {}
    *_, placed = labelled(config.seed, [*behind, report])
    arm = report.params.get("arm")
    return placed, {"seed": str(config.seed)} | ({"strategy": arm, "arm": arm} if arm else {})


def track_result(
    report: StageReport, steps: Sequence[StageReport], config: Config, program: Path, run_id: str | None
) -> None:
    """Put the result on the pipeline run, and the shipped program and its prompts into MLflow's registries."""
    optimised = [step.metrics for step in steps if step.kind in step_kinds()]
    scores = [optimised[0]["val/score_before"], *(metrics["val/score"] for metrics in optimised)]  # vanilla first
    test = {name: value for step in steps for name, value in step.metrics.items() if name.startswith("test/")}
    sha256 = {"program.sha256": program_sha256(program)}
    bt_tracking.finish_parent(test, {"val/score": list(enumerate(scores))}, note=report.note, tags=sha256)
    strategy = format_strategy(tuple(step.kind for step in steps if step.kind in step_kinds()))
    _register(config.task, program, run_id, {"strategy": strategy, "seed": str(config.seed)} | sha256)


def track_sweep(report: StageReport, config: Config, artifacts: Mapping[str, Path], run_id: str | None) -> None:
    """Put the verdict and the report on the sweep's run. Where an arm won, register its program."""
    sweep = Sweep.read(artifacts["sweep.json"])
    tags = {"seed": ", ".join(map(str, sweep.seeds)), "verdict": sweep.verdict.label}
    files = {name: artifacts[name] for name in ("report.html", "sweep.json")}
    bt_tracking.finish_parent(report.metrics, note=report.note, tags=tags, artifacts=files)
    winner = sweep.winner
    if winner:
        program_tags = {"strategy": winner.arm, "seed": str(winner.seed), "program.sha256": winner.program_sha256}
        _register(config.task, artifacts["program"], run_id, program_tags)


def _register(task: str, program: Path, run_id: str | None, tags: Mapping[str, str]) -> None:
    bt_tracking.register_model(task, run_id, tags=tags, safe=program)
    bt_tracking.register_prompts(read_program(program), run_id, tags=tags)
