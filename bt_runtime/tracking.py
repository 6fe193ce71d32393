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
from bt_core.records import StageReport, Usage
from bt_core.steps.stage import FinishedStage
from bt_core.steps.sweep.tree import labelled
from bt_core.strategy import format_strategy
from bt_core.task import load_task
from bt_runtime.reports import RUN_ID
from bt_runtime.traces import track_kept_traces
from bt_tracking import TraceOwner
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
        if run_id and stage.program:
            files = stage.artifacts["traces.jsonl"], stage.data["train"]
            track_kept_traces(*files, report, config, stage.program, run_id)
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
    report: StageReport, steps: Sequence[StageReport], config: Config, program: Path, page: Path, run_id: str | None
) -> TraceOwner | None:
    """Put the result on the pipeline run, and the shipped program and its prompts into MLflow's registries.

    `val/score` is the shipped program's. The scores of all steps' programs, vanilla first, are a curve of their own,
    since MLflow shows the last point of a curve as the run's value.

    Returns:
        What traces of the test rows belong to; None when tracking is off.
    """
    optimised = [step.metrics for step in steps if step.kind in step_kinds()]
    curve = [optimised[0]["val/score_before"], *(metrics["val/score"] for metrics in optimised)]
    metrics = {name: value for step in steps for name, value in step.metrics.items() if name.startswith("test/")}
    metrics["val/score"] = optimised[-1]["select/best"]
    metrics |= bt_tracking.cost_metrics(
        sum((step.usage for step in steps), Usage()), sum(step.ended - step.started for step in steps)
    )
    sha256 = {"program.sha256": program_sha256(program)}
    curves = {"val/score_by_step": list(enumerate(curve))}
    files = {"report.html": page}
    parent = bt_tracking.finish_parent(metrics, curves, note=report.note, tags=sha256, artifacts=files)
    strategy = format_strategy(tuple(step.kind for step in steps if step.kind in step_kinds()))
    tags = {"strategy": strategy, "seed": str(config.seed)} | sha256
    model = _register(config, program, run_id, parent, metrics, report.note, tags)
    owner = parent or run_id
    return TraceOwner(owner, config.task, read_program(program).model, model) if owner else None


def track_sweep(
    report: StageReport, config: Config, artifacts: Mapping[str, Path], run_id: str | None
) -> TraceOwner | None:
    """Put the verdict and the report on the sweep's run. Where an arm won, register its program.

    Returns:
        What traces of the winner's test rows belong to; None where no arm won, or tracking is off.
    """
    sweep = Sweep.read(artifacts["sweep.json"])
    tags = {"seed": ", ".join(map(str, sweep.seeds)), "verdict": sweep.verdict.label}
    files = {name: artifacts[name] for name in ("report.html", "sweep.json")}
    cost = {
        "usage/calls": float(sweep.cost.lm_calls),
        "usage/cached_calls": float(sweep.cost.cached_calls),
        "usage/prompt_tokens": float(sweep.cost.prompt_tokens or 0),
        "usage/completion_tokens": float(sweep.cost.completion_tokens or 0),
        "usage/wall_seconds": sweep.cost.seconds,
    }
    parent = bt_tracking.finish_parent(report.metrics | cost, note=report.note, tags=tags, artifacts=files)
    winner, owner = sweep.winner, parent or run_id
    if winner is None:
        return None
    program_tags = {"strategy": winner.arm, "seed": str(winner.seed), "program.sha256": winner.program_sha256}
    program = artifacts["program"]
    model = _register(config, program, run_id, parent, report.metrics, sweep.shipped, program_tags)
    return TraceOwner(owner, config.task, read_program(program).model, model) if owner else None


def _register(
    config: Config,
    program: Path,
    run_id: str | None,
    parent: str | None,
    metrics: Mapping[str, float],
    note: str,
    tags: Mapping[str, str],
) -> str | None:
    """Put the shipped program and its prompts into MLflow's registries; returns the id of the logged model."""
    scores = {name: value for name, value in metrics.items() if name.startswith(("test/", "val/"))}
    shipped = bt_tracking.register_model(
        config.task, program, run_id, parent=parent, metrics=scores, note=note, tags=tags
    )
    if shipped:
        bt_tracking.register_prompts(config.task, _prompts(program, config), run_id, parent=parent, tags=tags)
    return shipped.model if shipped else None


def _prompts(program: Path, config: Config) -> dict[str, list[dict[str, str]]]:
    """The messages that each predictor of a program sends, with slots for its inputs."""
    from bt_core.lm.exporting.state import Exported

    exported = Exported(load_task(config.task, config.task_settings), read_program(program), config)
    return {
        name: [{"role": message.role, "content": message.content} for message in messages]
        for name, messages in exported.example_prompts(bt_tracking.SLOT).items()
    }
