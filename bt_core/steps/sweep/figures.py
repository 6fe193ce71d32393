"""The parts of sweep.json that are read off the reports of a sweep's tasks; docs/formats.md says what they mean."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bt_core.config import Config
from bt_core.records import StageReport
from bt_core.statistics import Arm, ArmSummary, Table
from bt_core.steps.sweep.tree import Cost, Place, SweepReports, skipped, spell
from bt_core.strategy import Strategy, format_strategy
from bt_core.task import Task, load_task


def origin(tree: SweepReports, config: Config, command: str) -> dict[str, Any]:
    """What was compared, and how to do it again."""
    prepared = tree.prepared[tree.seeds[0]]
    task = load_task(config.task, config.task_settings)
    return {
        "task": config.task,
        "description": task.description,
        "model": prepared.params["model"],
        "model_revision": prepared.params["model_revision"],
        "metric": _metric(task),
        "data_seed": config.seed if config.data_seed is None else config.data_seed,
        "seeds": tree.seeds,
        "rows": {split: int(prepared.metrics[f"rows/{split}"]) for split in ("train", "val", "test")},
        "command": command,
        "config": config.model_dump(mode="json"),
    }


def _metric(task: Task) -> str:
    """The metric's name, where it has one of its own."""
    name = str(getattr(task.metric, "__name__", ""))
    return "" if name == "<lambda>" else name


def line(summary: ArmSummary) -> dict[str, Any]:
    """A mean test score with its interval, over all seeds and by seed."""
    return {"mean": summary.mean, "low": summary.low, "high": summary.high, "by_seed": summary.by_seed}


def arm_line(tree: SweepReports, strategy: Strategy, arm: Arm, table: Table) -> dict[str, Any]:
    """An arm: its scores, differences and costs."""
    summary = table.arm(arm.name)
    scored = [tree.scored(seed, strategy).metrics for seed in tree.seeds]
    per_example = {
        name: sum(metrics[f"cost/{name}"] for metrics in scored) / len(scored)
        for name in ("prompt_tokens_per_example", "completion_tokens_per_example")
    }
    return {
        "name": arm.name,
        "has_weights": arm.has_weights,
        **line(summary),
        "validation": summary.validation,
        "validation_by_seed": dict(arm.validation),
        "versus_vanilla": summary.versus_vanilla and asdict(summary.versus_vanilla),
        "versus_prompts": summary.versus_prompts and asdict(summary.versus_prompts),
        "cost": _making(tree, strategy),
        **per_example,
        "skipped": skipped(tree, strategy),
    }


def _making(tree: SweepReports, strategy: Strategy) -> dict[str, float]:
    """What the arm takes to make, as if it ran alone: mean over the seeds."""
    costs = [Cost.of(tree.making(seed, strategy)) for seed in tree.seeds]
    sums = {
        "lm_calls": sum(cost.usage.calls for cost in costs),
        "prompt_tokens": sum(cost.usage.prompt_tokens for cost in costs),
        "completion_tokens": sum(cost.usage.completion_tokens for cost in costs),
        "train_tokens": sum(cost.train_tokens for cost in costs),
        "seconds": sum(cost.seconds for cost in costs),
    }
    return {name: value / len(costs) for name, value in sums.items()}


def node(tree: SweepReports, place: Place) -> dict[str, Any]:
    """A step of the tree."""
    step, traces = tree.at(place), tree.traces(place).metrics
    return {
        "seed": place.seed,
        "stage": spell(place.prefix),
        "kind": step.kind,
        "strategy": format_strategy(place.prefix),
        "parent": spell(place.prefix[:-1]),
        "validation_before": step.metrics["val/score_before"],
        "validation": step.metrics["val/score"],
        "outcome": tree.outcome(place),
        "usage": asdict(step.usage),
        "train_tokens": int(step.metrics.get("train/tokens", 0)),
        "loss": _curve(step, "train/loss"),
        "val_loss": _curve(step, "train/val_loss"),
        "traces_kept": int(traces["traces/kept"]),
        "traces_total": int(traces["traces/total"]),
    }


def _curve(step: StageReport, name: str) -> list[tuple[int, float]]:
    """A loss curve; where every predictor has an adapter of its own, that of the first."""
    return next((points for series, points in step.series.items() if series.split("/")[:2] == name.split("/")), [])


def cost(tree: SweepReports, strategies: Sequence[Strategy]) -> dict[str, float]:
    """The sweep's cost, and that of the same arms run one by one; the vanilla program is scored once in both."""
    shared = Cost.of(tree.all)
    paths = [
        part for seed in tree.seeds for arm in strategies for part in (*tree.making(seed, arm), tree.scored(seed, arm))
    ]
    alone = Cost.of([*paths, tree.scored(tree.seeds[0], ())])
    return {
        "lm_calls": shared.usage.calls,
        "cached_calls": shared.usage.cached_calls,
        "seconds": shared.seconds,
        "lm_calls_one_by_one": alone.usage.calls,
        "seconds_one_by_one": alone.seconds,
    }
