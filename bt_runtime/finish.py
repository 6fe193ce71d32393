"""What every component does after its stage function: show metrics, track the stage, and return its report.

It is a module of the image, since the body of a component cannot reach the names of its own module.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from bt_core.config import read_config
from bt_core.formats.sweep import Sweep
from bt_core.records import StageReport, canonical_json
from bt_runtime.reports import write_report
from bt_runtime.tracking import track_result, track_sweep, tracked

if TYPE_CHECKING:
    from bt_core.steps.optimise.chain import FinishedStage

_NO_DATA: Mapping[str, str] = MappingProxyType({})


class Metrics(Protocol):
    """The part of `kfp.dsl.Metrics` that is used here."""

    path: str

    def log_metric(self, metric: str, value: float) -> None: ...


def finish(
    report: StageReport,
    config: str,
    metrics: Metrics,
    artifacts: Mapping[str, str],
    data: Mapping[str, str] = _NO_DATA,
    record_result: Callable[[str | None], None] = lambda run_id: None,
) -> str:
    """End a component whose outputs are on disk: show its metrics in Kubeflow and track the stage in MLflow.

    Args:
        report: what the stage function returned.
        config: the merged configuration as JSON.
        metrics: the component's metrics output.
        artifacts: name in MLflow -> path of what the stage wrote.
        data: split -> path of the rows that the stage used.
        record_result: records the result of the whole run; it takes the id of the stage's MLflow run.

    Returns:
        The report as text, with the id of the stage's MLflow run.
    """
    _show(report.metrics, metrics)
    return write_report(tracked(report, read_config(config), _paths(artifacts), _paths(data), record_result))


def finish_each(stages: Iterable["FinishedStage"], config: str, metrics: Metrics) -> str:
    """End a component of several stages, each of which is tracked as soon as it has ended.

    Returns:
        All reports as one text. The metrics are shown under the label of their stage (`1.p/val/score`).
    """
    reports: list[StageReport] = []
    shown: dict[str, float] = {}
    for stage in stages:
        reports.append(tracked(stage.report, read_config(config), stage.artifacts, stage.data, nested=True))
        shown |= {f"{stage.report.stage}/{name}": value for name, value in stage.report.metrics.items()}
    _show(shown, metrics)
    return write_report(*reports)


def finish_shard(report: StageReport, metrics: Metrics) -> str:
    """End a component that does a part of a stage: show its metrics. MLflow gets the whole stage after the merge.

    Returns:
        The report as text.
    """
    _show(report.metrics, metrics)
    return write_report(report)


def _show(values: Mapping[str, float], metrics: Metrics) -> None:
    for name, value in values.items():
        metrics.log_metric(name, value)
    # Kubeflow never takes a task from its cache whose Metrics output has no file.
    Path(metrics.path).write_text(canonical_json(dict(values)), encoding="utf-8")


def finish_run(
    report: StageReport,
    steps: Sequence[StageReport],
    config: str,
    strategy: str,
    metrics: Metrics,
    artifacts: Mapping[str, str],
) -> str:
    """End the last component of a strategy as `finish` does, and track the result of the whole pipeline run.

    Args:
        report: what the stage function returned.
        steps: the reports of all stages before it.
        config: the merged configuration as JSON.
        strategy: as written, `p -> w -> p`.
        metrics: the component's metrics output.
        artifacts: name in MLflow -> path; `program` is the program that is shipped.

    Returns:
        The report as text.
    """

    def record_result(run_id: str | None) -> None:
        track_result(report, steps, read_config(config), strategy, Path(artifacts["program"]), run_id)

    return finish(report, config, metrics, artifacts, record_result=record_result)


def publish(sweep: Path, html: Path, markdown: Path) -> None:
    """Write the report of a sweep as an HTML page and as Markdown.

    Raises:
        DataError: when the file is missing or is no sweep.json of this version.
    """
    from bt_report import render_html, render_markdown

    content = Sweep.read(sweep)
    html.write_text(render_html(content), encoding="utf-8")
    markdown.write_text(render_markdown(content), encoding="utf-8")


def finish_sweep(report: StageReport, config: str, metrics: Metrics, artifacts: Mapping[str, str]) -> str:
    """End the last component of a sweep as `finish` does, and track the result of the whole sweep."""

    def record_result(run_id: str | None) -> None:
        track_sweep(report, read_config(config), _paths(artifacts), run_id)

    return finish(report, config, metrics, artifacts, record_result=record_result)


def _paths(paths: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in paths.items()}
