"""What every component does before and after its one stage function.

Installed in the image beside the components, since a component's body cannot reach module-level names.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from bt_core.config import merge, read_config
from bt_core.errors import ConfigError, DataError
from bt_core.records import StageReport, canonical_json
from bt_runtime.reports import write_report
from bt_runtime.tracking import track_result, track_sweep, tracked

if TYPE_CHECKING:
    from bt_core.steps.optimise.chain import Ended

#: The number that stands for "the task's default".
UNSET = -1

_NO_DATA: Mapping[str, str] = MappingProxyType({})


class Metrics(Protocol):
    """The part of `kfp.dsl.Metrics` that is used here."""

    path: str

    def log_metric(self, metric: str, value: float) -> None: ...


def overrides(
    task: str, seeds: Sequence[Any], model: str, data: str, rows: Sequence[Any], config: str
) -> dict[str, Any]:
    """The settings that a person chose: pipeline parameters over the JSON in `config`, sentinels left out.

    An empty string and -1 mean "the task's default", since a Kubeflow parameter cannot be None. `seeds` are that of
    the run and that of the splits, which gives way to a `data_seed` in `config`.

    Raises:
        ConfigError: when `config` is no JSON object.
    """
    texts = {key: value for key, value in (("task", task), ("model", model), ("data", data)) if value}
    seed, data_seed = _chosen(["seed"], seeds[:1]), _chosen(["data_seed"], seeds[1:])
    chosen_rows = _chosen(("train", "val", "test"), rows)
    return merge(data_seed, _json_object(config), texts, seed, {"rows": chosen_rows} if chosen_rows else {})


def _chosen(names: Sequence[str], values: Sequence[Any]) -> dict[str, int]:
    """Numbers by name, less those that are not set."""
    # Kubeflow turns the elements of a list into strings: "60" on a cluster, "60.0" on this machine.
    numbers = zip(names, (int(float(value)) for value in values), strict=True)
    return {name: number for name, number in numbers if number != UNSET}


def _json_object(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"The parameter `config` is broken JSON ({error.msg}, column {error.colno}): mend it."
        ) from None
    if not isinstance(value, dict):
        raise ConfigError(
            f'The parameter `config` is a JSON {type(value).__name__}: give an object, `{{"key": value}}`.'
        )
    return value


def finish(
    report: StageReport,
    config: str,
    metrics: Metrics,
    artifacts: Mapping[str, str],
    data: Mapping[str, str] = _NO_DATA,
    record_result: Callable[[str | None], None] = lambda run_id: None,
) -> str:
    """The common tail of every component, run when its outputs are on disk.

    Shows the metrics in Kubeflow, tracks the stage in MLflow, and returns the report for the `register` component.

    Args:
        report: what the stage function returned.
        config: the merged configuration.
        metrics: the component's metrics output.
        artifacts: name in MLflow -> path of what the stage made.
        data: split -> path of the rows that the stage used.
        record_result: records the result of the whole run, given the id of the stage's MLflow run.
    """
    _show(report.metrics, metrics)
    return write_report(tracked(report, read_config(config), _paths(artifacts), _paths(data), record_result))


def finish_each(stages: Iterable["Ended"], config: str, metrics: Metrics) -> str:
    """The tail of a component of several stages: each is tracked when it has ended, as `finish` does.

    Returns all reports as one text; numbers are shown under their stage's label (`1.p/val/score`).
    """
    reports: list[StageReport] = []
    shown: dict[str, float] = {}
    for stage in stages:
        reports.append(tracked(stage.report, read_config(config), stage.made, stage.data, nested=True))
        shown |= {f"{stage.report.stage}/{name}": value for name, value in stage.report.metrics.items()}
    _show(shown, metrics)
    return write_report(*reports)


def hand_on(report: StageReport, metrics: Metrics) -> str:
    """The tail of a part of a stage, which MLflow hears of as a whole: show the metrics and return the report."""
    _show(report.metrics, metrics)
    return write_report(report)


def _show(values: Mapping[str, float], metrics: Metrics) -> None:
    for name, value in values.items():
        metrics.log_metric(name, value)
    # A Metrics output without a file never hits the cache.
    Path(metrics.path).write_text(canonical_json(dict(values)), encoding="utf-8")


def conclude(
    report: StageReport,
    steps: Sequence[StageReport],
    config: str,
    strategy: str,
    metrics: Metrics,
    artifacts: Mapping[str, str],
) -> str:
    """The tail of the last component: `finish`, and the result of the whole pipeline run from its steps."""

    def record_result(run_id: str | None) -> None:
        track_result(report, steps, read_config(config), strategy, Path(artifacts["program"]), run_id)

    return finish(report, config, metrics, artifacts, record_result=record_result)


def publish(sweep: Path, html: Path, markdown: Path) -> None:
    """Write the report of a sweep.json as a page and as Markdown.

    Raises:
        DataError: when the file is missing, is no JSON, or is of another schema.
    """
    from bt_report import render_html, render_markdown

    try:
        content = json.loads(sweep.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{sweep} cannot be read ({error}): name a sweep.json that a sweep wrote.") from None
    html.write_text(render_html(content), encoding="utf-8")
    markdown.write_text(render_markdown(content), encoding="utf-8")


def conclude_sweep(report: StageReport, config: str, metrics: Metrics, artifacts: Mapping[str, str]) -> str:
    """The tail of a sweep's last component: `finish`, and the result of the whole sweep."""

    def record_result(run_id: str | None) -> None:
        track_sweep(report, read_config(config), _paths(artifacts), run_id)

    return finish(report, config, metrics, artifacts, record_result=record_result)


def _paths(paths: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in paths.items()}
