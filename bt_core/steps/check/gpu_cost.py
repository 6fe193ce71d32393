"""What a strategy takes of a GPU, stage by stage: tokens, minutes, memory. docs/training.md has the formula."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.engine.model_memory import parameters
from bt_core.engine.training.job import memory_plans
from bt_core.engine.training.memory import TrainingNeed, training_need
from bt_core.models import resolve_model
from bt_core.steps.check.check import check
from bt_core.steps.check.checkup import RowRun
from bt_core.steps.check.cost import Cost, Measured, estimate
from bt_core.strategy import Strategy, format_strategy
from bt_core.task import load_task

#: Bytes of a number on a GPU: bfloat16.
NUMBER = 2
TERA, MINUTE = 1e12, 60.0


@dataclass(frozen=True)
class Card:
    """A GPU: `tflops` in bfloat16 and `bandwidth` in TB/s; `share` of the former that is reached."""

    tflops: float
    bandwidth: float
    share: float


@dataclass(frozen=True)
class StageCost:
    """A stage's tokens and its minutes on the card, both at most."""

    stage: str
    prompt_tokens: int
    completion_tokens: int
    train_tokens: int
    minutes: float = 0.0


@dataclass(frozen=True)
class GpuCost:
    """All stages, and the memory of training: None without `w`, or where the model is no plain transformer."""

    strategy: str
    stages: tuple[StageCost, ...]
    memory: TrainingNeed | None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def gpu_cost(overrides: Mapping[str, Any], strategy: Strategy, card: Card) -> GpuCost | None:
    """Measure three rows and estimate a run; None where they asked nothing.

    Raises:
        BtError: when a run would end with the same sentence before its first step.
    """
    report = check(overrides, [strategy])
    if report.measured is None:
        return None
    task = load_task(str(overrides["task"]), overrides.get("task_settings", {}))
    config = resolve_config(merge(task.config, overrides))
    base = resolve_model(report.model)
    need = None
    if "w" in strategy:
        length, answer = _longest(report.runs)
        plan = memory_plans(config.w.batch_size // config.w.processes, config.w.micro_batch)[0]
        need = training_need(base, config.w, plan, length, answer, NUMBER)
    return GpuCost(
        format_strategy(strategy), stage_costs(strategy, config, report.measured, parameters(base), card), need
    )


def stage_costs(
    strategy: Strategy, config: Config, measured: Measured, weights: int, card: Card
) -> tuple[StageCost, ...]:
    """Each stage as what it adds to the strategy's beginning; label priors and the test come last."""
    untested = config.model_copy(update={"rows": config.rows.model_copy(update={"test": 0})})
    begun = [estimate(strategy[:count], untested, measured) for count in range(len(strategy) + 1)]
    tested = estimate(strategy, config, measured)
    found = [
        StageCost(f"{position}.{kind}", *_added(begun[position - 1], begun[position]))
        for position, kind in enumerate(strategy, start=1)
    ]
    rest = _added(begun[-1], tested)
    found.append(StageCost("data and test", rest[0] + begun[0].prompt_tokens, rest[1] + begun[0].completion_tokens, 0))
    return tuple(replace(one, minutes=_minutes(one, config, weights, card)) for one in found)


def _added(before: Cost, after: Cost) -> tuple[int, int, int]:
    return (
        after.prompt_tokens - before.prompt_tokens,
        after.completion_tokens - before.completion_tokens,
        after.train_tokens - before.train_tokens,
    )


def _minutes(stage: StageCost, config: Config, weights: int, card: Card) -> float:
    """Two operations a weight and token forward, two more for the inputs' gradients (a frozen base has no others);
    decoding also reads every weight once a step, in which `engine.in_flight` answers grow by a token each.
    """
    answered = stage.prompt_tokens + stage.completion_tokens
    products = weights * (2.0 * answered + 4.0 * stage.train_tokens) / (card.tflops * TERA * card.share)
    reading = weights * NUMBER * stage.completion_tokens / config.engine.in_flight / (card.bandwidth * TERA)
    return (products + reading) / MINUTE


def _longest(runs: Sequence[RowRun]) -> tuple[int, int]:
    """Tokens of the longest call and of the longest completion, with its end."""
    asked = [one for run in runs for one in run.asked if not one.error]
    answers = [one.completion_tokens or len(one.completion.split()) + 1 for one in asked]
    return max(one.prompt_tokens + answer + 1 for one, answer in zip(asked, answers, strict=True)), max(answers) + 1
