"""Component: the table of a sweep, its verdict and its winner."""

from typing import NamedTuple

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare_arms(
    reports: list[str],
    config: str,
    strategies: list[str],
    margin: float,
    alpha: float,
    command: str,
    sweep: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Outputs", [("report", str), ("program", str), ("results", str), ("vanilla", str)]):  # type: ignore[valid-type]
    """Compare the arms of a sweep by their test scores, and name the winner by validation."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.sweep.compare_arms import compare_arms as compare
    from bt_core.strategy import parse_strategy
    from bt_runtime.finish import finish
    from bt_runtime.reports import read_report

    with one_sentence():
        steps, arms = list(map(read_report, reports)), list(map(parse_strategy, strategies))
        comparison = compare(steps, read_config(config), arms, Path(sweep.path), margin, alpha, command)
        report = finish(comparison.report, config, metrics, {})
        return report, comparison.program, comparison.results, comparison.vanilla
