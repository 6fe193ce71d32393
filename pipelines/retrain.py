"""Recurring retraining as one pipeline: it makes a challenger, and compares it with the champion over several runs.

    fresh data -> gate -> drift report -> another gate
        a new challenger: the steps of a strategy -> challenge -> promote
        a challenger in shadow: challenge -> promote
    at the end, whatever happened: record outcome

The first gate ends a run early when there is nothing to do: the tasks after it are skipped, and the run has succeeded.
The second one leaves out the steps while an earlier run's challenger is in shadow. Both ways have their own tasks for
the comparison, since `kfp.local` cannot hand on an artifact from whichever of two branches has run (`dsl.OneOf`).
"""

from typing import Any

from kfp import dsl

from bt_components.challenge_champion.component import challenge_champion
from bt_components.drift_report.component import drift_report
from bt_components.fresh_data.component import fresh_data
from bt_components.gate.component import gate
from bt_components.promote.component import promote
from bt_components.record_outcome.component import record_outcome
from bt_core.steps.retrain.fresh import IN_SHADOW, REASON
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
        "newest data and promotes it when it beats the champion on the fresh sealed rows of one run or several.",
    )
    def better_together_retrain(
        task: str = "", seed: int = -1, model: str = "", data: str = "", config: str = ""
    ) -> None:
        exit_handler = record_outcome(task=task)
        _configure_uncached(tasks, exit_handler, "record outcome")
        with dsl.ExitHandler(exit_handler, name="retraining"):
            fresh = fresh_data(task=task, seed=seed, model=model, data=data, config=config)
            _configure_uncached(tasks, fresh, "fresh data")
            ready = _add_gate(tasks, fresh, REASON, "is there enough to do?")
            with dsl.If(ready == "", name="there is"):
                _add_comparison(tasks, strategy, fresh)

    return better_together_retrain


def _add_comparison(tasks: Tasks, strategy: Strategy, fresh: Any) -> None:
    """Add every task after the first gate."""
    data = fresh.outputs
    tasks.add(drift_report, "drift", "drift report", rows=data["rows"], champion=data["champion"])
    in_shadow = _add_gate(tasks, fresh, IN_SHADOW, "a new challenger?")
    with dsl.If(in_shadow == "", name="new challenger"):
        _add_challenge(tasks, data, add_steps(tasks, strategy, data), "challenge", "promote if better")
    with dsl.If(in_shadow != "", name="challenger in shadow"):
        _add_challenge(tasks, data, data["program"], "again", "judge the challenger in shadow")


def _add_gate(tasks: Tasks, fresh: Any, closed_by: str, title: str) -> Any:
    """Add a gate, and return its output, which is empty where the gate is open."""
    gated = gate(report=fresh.outputs["Output"], closed_by=closed_by)
    _configure_uncached(tasks, gated, title)
    return gated.outputs["Output"]


def _add_challenge(tasks: Tasks, data: Any, program: Any, title: str, judging: str) -> None:
    """Add the tasks that compare a challenger with the champion, and carry out what follows."""
    champion = data["champion"]
    inputs = {"champion": champion, "program": program, "test": data["test"]}
    compared = tasks.add(challenge_champion, "challenge", f"{title} on fresh sealed rows", **inputs)
    compared.set_caching_options(False)  # every run scores on the sealed rows itself
    comparison = compared.outputs["Output"]
    promoted = promote(program=program, champion=champion, rows=data["rows"], comparison=comparison)
    _configure_uncached(tasks, promoted, judging)


def _configure_uncached(tasks: Tasks, task: Any, title: str) -> None:
    """Configure a task that reads or changes what lies outside the pipeline, so that the cache must not replace it."""
    tasks.configure(task, title)
    task.set_caching_options(False)
