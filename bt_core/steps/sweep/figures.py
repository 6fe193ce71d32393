"""The parts of sweep.json that come from the reports of a sweep's tasks."""

from collections.abc import Sequence
from typing import Any

from bt_core.config import Config
from bt_core.formats.arms import ArmContrast, ArmCost, ArmScores, VanillaScores
from bt_core.formats.sweep import Node, NodeUsage, SplitSizes, SweepCost
from bt_core.records import StageReport
from bt_core.statistics import Arm, ArmSummary, Contrast, Table
from bt_core.steps.sweep.tree import Cost, SweepReports, SweepStage, position, skipped
from bt_core.steps.trace_summary import baselines_of
from bt_core.strategy import Strategy, format_strategy
from bt_core.task import Task, load_task


def origin(tree: SweepReports, config: Config, command: str) -> dict[str, Any]:
    """The fields of sweep.json that say what was compared, and how to do it again."""
    prepared = tree.prepared[tree.seeds[0]]
    task = load_task(config.task, config.task_settings)
    return {
        "task": config.task,
        "description": task.description,
        "model": prepared.params["model"],
        "model_revision": prepared.params["model_revision"],
        "metric": _metric_name(task),
        "data_seed": config.seed if config.data_seed is None else config.data_seed,
        "seeds": tuple(tree.seeds),
        "rows": SplitSizes(**{split: int(prepared.metrics[f"rows/{split}"]) for split in ("train", "val", "test")}),
        "baselines": baselines_of(prepared),
        "command": command,
        "config": config.model_dump(mode="json"),
    }


def _metric_name(task: Task) -> str:
    """The metric's name; empty where it has none of its own."""
    name = str(getattr(task.metric, "__name__", ""))
    return "" if name == "<lambda>" else name


def vanilla_scores(summary: ArmSummary, scored: StageReport) -> VanillaScores:
    """The vanilla program: its scores, and what a call of it costs."""
    return VanillaScores(
        mean=summary.mean,
        low=summary.low,
        high=summary.high,
        by_seed=summary.by_seed,
        prompt_tokens_per_example=scored.metrics["cost/prompt_tokens_per_example"],
    )


def arm_scores(tree: SweepReports, strategy: Strategy, arm: Arm, table: Table) -> ArmScores:
    """An arm: its scores, differences and costs.

    Args:
        tree: the reports of the sweep.
        strategy: the arm's steps.
        arm: its scores under every seed.
        table: the comparison of all arms.
    """
    summary = table.arm(arm.name)
    scored = [tree.scored(seed, strategy).metrics for seed in tree.seeds]
    prompt_tokens, completion_tokens = (
        sum(metrics[f"cost/{kind}_tokens_per_example"] for metrics in scored) / len(scored)
        for kind in ("prompt", "completion")
    )
    return ArmScores(
        name=arm.name,
        has_weights=arm.has_weights,
        mean=summary.mean,
        low=summary.low,
        high=summary.high,
        by_seed=summary.by_seed,
        validation=arm.mean_validation,
        validation_by_seed=dict(arm.validation),
        versus_vanilla=_contrast(summary.versus_vanilla),
        versus_prompts=_contrast(summary.versus_prompts),
        cost=_cost_of_making(tree, strategy),
        prompt_tokens_per_example=prompt_tokens,
        completion_tokens_per_example=completion_tokens,
        skipped=tuple(skipped(tree, strategy)),
    )


def _contrast(contrast: Contrast | None) -> ArmContrast | None:
    return None if contrast is None else ArmContrast.model_validate(contrast)


def _cost_of_making(tree: SweepReports, strategy: Strategy) -> ArmCost:
    """What making the arm's program would take if it ran alone: means over the seeds."""
    costs = [Cost.of(tree.making(seed, strategy)) for seed in tree.seeds]
    return ArmCost(
        lm_calls=sum(cost.usage.calls for cost in costs) / len(costs),
        prompt_tokens=sum(cost.usage.prompt_tokens for cost in costs) / len(costs),
        completion_tokens=sum(cost.usage.completion_tokens for cost in costs) / len(costs),
        train_tokens=sum(cost.train_tokens for cost in costs) / len(costs),
        seconds=sum(cost.seconds for cost in costs) / len(costs),
    )


def node(tree: SweepReports, stage: SweepStage) -> Node:
    """A step of the prefix tree under one seed."""
    step, traces = tree.at(stage), tree.traces(stage).metrics
    return Node(
        seed=stage.seed,
        stage=position(stage.prefix),
        kind=step.kind,
        strategy=format_strategy(stage.prefix),
        parent=position(stage.prefix[:-1]),
        validation_before=step.metrics["val/score_before"],
        validation=step.metrics["val/score"],
        outcome=tree.outcome(stage),
        usage=NodeUsage.model_validate(step.usage),
        train_tokens=int(step.metrics.get("train/tokens", 0)),
        loss=_curve(step, "train/loss"),
        val_loss=_curve(step, "train/val_loss"),
        traces_kept=int(traces["traces/kept"]),
        traces_total=int(traces["traces/total"]),
    )


def _curve(step: StageReport, name: str) -> tuple[tuple[int, float], ...]:
    """A loss curve; where every predictor has an adapter of its own, that of the first."""
    curves = (points for series, points in step.series.items() if series.split("/")[:2] == name.split("/"))
    return tuple(next(curves, ()))


def sweep_cost(tree: SweepReports, strategies: Sequence[Strategy]) -> SweepCost:
    """The sweep's cost, and that of the same arms run one by one; the vanilla program is scored once in both."""
    shared = Cost.of(tree.all)
    paths = [
        report
        for seed in tree.seeds
        for arm in strategies
        for report in (*tree.making(seed, arm), tree.scored(seed, arm))
    ]
    alone = Cost.of([*paths, tree.scored(tree.seeds[0], ())])
    return SweepCost(
        lm_calls=shared.usage.calls,
        cached_calls=shared.usage.cached_calls,
        seconds=shared.seconds,
        lm_calls_one_by_one=alone.usage.calls,
        seconds_one_by_one=alone.seconds,
        prompt_tokens=shared.usage.prompt_tokens,
        completion_tokens=shared.usage.completion_tokens,
    )
