"""Recurring retraining as one pipeline: it optimises a challenger on the newest data and promotes it if it is better.

    fresh data -> gate -> drift report, then the steps of a strategy -> challenge -> promote
    at the end, whatever happened: record outcome

The gate ends a run early when there is nothing to do: the tasks after it are skipped, and the run has succeeded.
"""

from typing import Any

from kfp import dsl

from bt_components.challenge_champion.component import challenge_champion
from bt_components.drift_report.component import drift_report
from bt_components.fresh_data.component import fresh_data
from bt_components.gate.component import gate
from bt_components.promote.component import promote
from bt_components.record_outcome.component import record_outcome
from bt_core.strategy import Strategy, format_strategy, strategy_slug
from bt_pipelines.better_together import DEFAULT_OPTIONS, Options
from bt_pipelines.pods.apply import pipeline_config
from bt_pipelines.tasks import PIPELINE, Tasks, add_steps, legend


def build_retrain(strategy: Strategy, options: Options = DEFAULT_OPTIONS) -> Any:
    """The retraining pipeline of a strategy, ready to compile.

    Its parameters default to "" and -1, which stand for "the task's default"; `config` takes any other setting as JSON,
    including those of `retrain`.
    """
    arrows = format_strategy(strategy)
    tasks = Tasks(strategy_slug(strategy), options.whole_profile)

    @dsl.pipeline(
        name=PIPELINE,
        pipeline_config=pipeline_config(options.whole_profile),
        display_name=f"BetterTogether retraining {arrows}",
        description=f"Makes a challenger by the strategy {arrows} ({legend([strategy])}){options.suffix} from the "
        "newest data and promotes it when it beats the champion on fresh sealed rows.",
    )
    def better_together_retrain(
        task: str = "", seed: int = -1, model: str = "", data: str = "", config: str = ""
    ) -> None:
        exit_handler = record_outcome(task=task)
        _configure_uncached(tasks, exit_handler, "record outcome")
        with dsl.ExitHandler(exit_handler, name="retraining"):
            fresh = fresh_data(task=task, seed=seed, model=model, data=data, config=config)
            _configure_uncached(tasks, fresh, "fresh data")
            gated = gate(report=fresh.outputs["Output"])
            _configure_uncached(tasks, gated, "is there enough to do?")
            with dsl.If(gated.outputs["Output"] == "", name="there is"):
                _add_challenge(tasks, strategy, fresh.outputs)

    return better_together_retrain


def _add_challenge(tasks: Tasks, strategy: Strategy, data: Any) -> None:
    """Add every task after the gate."""
    champion, rows = data["champion"], data["rows"]
    tasks.add(drift_report, "drift", "drift report", rows=rows, champion=champion)
    program = add_steps(tasks, strategy, data)
    inputs = {"champion": champion, "program": program, "test": data["test"]}
    compared = tasks.add(challenge_champion, "challenge", "challenge on fresh sealed rows", **inputs)
    compared.set_caching_options(False)  # every run scores on the sealed rows itself
    promoted = promote(program=program, champion=champion, rows=rows, comparison=compared.outputs["Output"])
    _configure_uncached(tasks, promoted, "promote if better")


def _configure_uncached(tasks: Tasks, task: Any, title: str) -> None:
    """Configure a task that reads or changes what lies outside the pipeline, so that the cache must not replace it."""
    tasks.configure(task, title)
    task.set_caching_options(False)
