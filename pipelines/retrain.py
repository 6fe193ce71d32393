"""Recurring retraining as one pipeline: a challenger is made from the newest data, and promoted only if it is better.

    fresh data -> gate -> drift report, then the steps of a strategy -> challenge -> promote
    in the end, whatever happened: record outcome

The gate ends a run early when there is nothing to do: what follows it is skipped, and the run has succeeded.
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
from bt_pipelines.tasks import Tasks, improve, legend


def build_retrain(strategy: Strategy, options: Options = DEFAULT_OPTIONS) -> Any:
    """The retraining pipeline of a strategy, ready to compile.

    Its parameters have sentinel defaults ("" and -1) that mean "the task's default"; `config` takes any other setting
    as JSON, those of `retrain` among them.
    """
    arrows = format_strategy(strategy)
    tasks = Tasks(strategy_slug(strategy), options.whole_profile)

    @dsl.pipeline(
        name="better-together-retrain",
        pipeline_config=pipeline_config(options.whole_profile),
        display_name=f"BetterTogether retraining {arrows}",
        description=f"Makes a challenger by the strategy {arrows} ({legend([strategy])}){options.where} from the "
        "newest data and promotes it when it beats the champion on fresh sealed rows.",
    )
    def better_together_retrain(
        task: str = "", seed: int = -1, model: str = "", data: str = "", config: str = ""
    ) -> None:
        ended = record_outcome(task=task)
        _place(tasks, ended, "record outcome")
        with dsl.ExitHandler(ended, name="retraining"):
            begun = fresh_data(task=task, seed=seed, model=model, data=data, config=config)
            _place(tasks, begun, "fresh data")
            opened = gate(report=begun.outputs["report"], config=begun.outputs["config"])
            _place(tasks, opened, "is there enough to do?")
            with dsl.If(opened.outputs["Output"] == "", name="there is"):
                _challenge(tasks, strategy, begun.outputs)

    return better_together_retrain


def _challenge(tasks: Tasks, strategy: Strategy, data: Any) -> None:
    """Add everything behind the gate."""
    about = {name: data[name] for name in ("champion", "incumbent", "config")}
    tasks.add(drift_report, "drift", "report", uses_model=True, rows=data["rows"], **about)
    best = improve(tasks, strategy, data)
    inputs = {"challenger": best, "test": data["test"], **about}
    compared = tasks.add(challenge_champion, "challenge", "on fresh sealed rows", uses_model=True, **inputs)
    compared.set_caching_options(False)  # every run looks at the sealed rows itself
    settled = promote(
        program=best,
        data_report=data["report"],
        comparison=compared.outputs["Output"],
        incumbent=data["incumbent"],
        config=data["config"],
    )
    _place(tasks, settled, "promote if better")


def _place(tasks: Tasks, task: Any, title: str) -> None:
    """A task that reads or changes what lies outside the pipeline, so that it is never answered from the cache."""
    tasks.configure(task, title)
    task.set_caching_options(False)
