"""What a strategy costs on a GPU, stage by stage: tokens, minutes, memory. docs/training.md has the formula."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bt_core.config import Config, merge, resolve_config
from bt_core.engine.model_memory import parameters
from bt_core.engine.training.job import memory_plans
from bt_core.engine.training.memory import TrainingNeed, training_need
from bt_core.models import resolve_model
from bt_core.steps.check.check import check
from bt_core.steps.check.cost import Cost, Measured, estimate
from bt_core.steps.check.report import RowRun
from bt_core.strategy import Strategy, format_strategy
from bt_core.task import load_task

#: Bytes of a number on a GPU: bfloat16.
NUMBER = 2
TERA, MINUTE = 1e12, 60.0


@dataclass(frozen=True)
class Card:
    """A GPU: its `tflops` in bfloat16, the `share` of them that is reached, and its `bandwidth` in TB/s."""

    tflops: float
    bandwidth: float
    share: float


@dataclass(frozen=True)
class StageCost:
    """Upper bounds of a stage's tokens and of its minutes on the card."""

    stage: str
    prompt_tokens: int
    completion_tokens: int
    train_tokens: int
    minutes: float = 0.0


@dataclass(frozen=True)
class GpuCost:
    """The cost of all stages, and the memory that training needs.

    `memory` is None where the strategy has no `w`, or the model is not a plain transformer.
    """

    strategy: str
    stages: tuple[StageCost, ...]
    memory: TrainingNeed | None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def gpu_cost(overrides: Mapping[str, Any], strategy: Strategy, card: Card) -> GpuCost | None:
    """Measure three rows and estimate a run; None where the rows called no LM.

    Raises:
        BtError: when a run would fail with the same sentence before its first step.
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
        plan = memory_plans(config.w.batch_size // config.w.world_size, config.w.micro_batch)[0]
        need = training_need(base, config.w, plan, length, answer, NUMBER)
    return GpuCost(
        format_strategy(strategy), stage_costs(strategy, config, report.measured, parameters(base), card), need
    )


def stage_costs(
    strategy: Strategy, config: Config, measured: Measured, weights: int, card: Card
) -> tuple[StageCost, ...]:
    """The cost of each step, as what it adds to the steps before it; label priors and the test come last."""
    untested = config.model_copy(update={"rows": config.rows.model_copy(update={"test": 0})})
    prefixes = [estimate(strategy[:count], untested, measured) for count in range(len(strategy) + 1)]
    stages = [
        _added(f"{position}.{kind}", prefixes[position - 1], prefixes[position])
        for position, kind in enumerate(strategy, start=1)
    ]
    test, data = _added("test", prefixes[-1], estimate(strategy, config, measured)), prefixes[0]
    prompt_tokens = data.prompt_tokens + test.prompt_tokens
    completion_tokens = data.completion_tokens + test.completion_tokens
    stages.append(StageCost("data and test", prompt_tokens, completion_tokens, 0))
    return tuple(replace(stage, minutes=_minutes(stage, config, weights, card)) for stage in stages)


def _added(stage: str, before: Cost, after: Cost) -> StageCost:
    return StageCost(
        stage,
        after.prompt_tokens - before.prompt_tokens,
        after.completion_tokens - before.completion_tokens,
        after.train_tokens - before.train_tokens,
    )


def _minutes(stage: StageCost, config: Config, weights: int, card: Card) -> float:
    """The time of a stage on the card.

    A forward pass takes two operations for each weight and token, and the gradients of the inputs two more (a frozen
    base has no other gradients). Decoding also reads every weight once a pass, in which `engine.in_flight` answers grow
    by a token each.
    """
    answered = stage.prompt_tokens + stage.completion_tokens
    computing = weights * (2.0 * answered + 4.0 * stage.train_tokens) / (card.tflops * TERA * card.share)
    reading = weights * NUMBER * stage.completion_tokens / config.engine.in_flight / (card.bandwidth * TERA)
    return (computing + reading) / MINUTE


def _longest(runs: Sequence[RowRun]) -> tuple[int, int]:
    """Tokens of the longest call and of the longest completion, with the token that ends it."""
    calls = [call for run in runs for call in run.asked if not call.error]
    answers = [call.completion_tokens or len(call.completion.split()) + 1 for call in calls]
    return max(call.prompt_tokens + answer + 1 for call, answer in zip(calls, answers, strict=True)), max(answers) + 1
