"""What every component does after its stage function: track the stage, show its metrics, and return its report.

It is a module of the image, since the body of a component cannot reach the names of its own module.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from bt_core.config import Config
from bt_core.records import StageReport, canonical_json
from bt_core.steps.stage import FinishedStage
from bt_runtime.reports import write_report
from bt_runtime.tracking import tracked

NOTHING: Mapping[str, Path] = MappingProxyType({})


class Metrics(Protocol):
    """The part of `kfp.dsl.Metrics` that is used here."""

    path: str

    def log_metric(self, metric: str, value: float) -> None: ...


def finish(
    report: StageReport,
    config: Config,
    metrics: Metrics,
    artifacts: Mapping[str, Path] = NOTHING,
    data: Mapping[str, Path] = NOTHING,
    behind: Sequence[StageReport] = (),
    record_result: Callable[[str | None], None] = lambda run_id: None,
    program: Path | None = None,
) -> StageReport:
    """End a component whose outputs are on disk: show its metrics in Kubeflow and track the stage in MLflow.

    Args:
        report: what the stage function returned.
        config: the merged configuration.
        metrics: the component's metrics output.
        artifacts: name in MLflow -> path of what the stage wrote.
        data: split -> path of the rows that the stage used.
        behind: the reports of the stages that led to the program that this one worked on.
        record_result: records the result of the whole run; it takes the id of the stage's MLflow run.
        program: of a bootstrap: the program directory that made the traces.

    Returns:
        The report with the id of the stage's MLflow run.

    Raises:
        TrackingError: when MLflow fails and the stage needs it.
    """
    show(report.metrics, metrics)
    return tracked(FinishedStage(report, artifacts, data, program), config, behind, record_result)


def finish_each(
    stages: Iterable[FinishedStage], config: Config, metrics: Metrics, behind: Sequence[StageReport] = ()
) -> list[StageReport]:
    """End a component of several stages, each of which is tracked as soon as it has ended.

    Each stage is behind the next one. The metrics are shown under the label of their stage (`1.p/val/score`).

    Returns:
        Their reports, each with the id of the stage's MLflow run.
    """
    reports: list[StageReport] = []
    shown: dict[str, float] = {}
    for stage in stages:
        reports.append(tracked(stage, config, [*behind, *reports], nested=True))
        shown |= {f"{stage.report.stage}/{name}": value for name, value in stage.report.metrics.items()}
    show(shown, metrics)
    return reports


def finish_shard(report: StageReport, metrics: Metrics) -> str:
    """End a component that does a part of a stage: show its metrics. MLflow gets the whole stage after the merge.

    Returns:
        The report as text.
    """
    show(report.metrics, metrics)
    return write_report(report)


def show(values: Mapping[str, float], metrics: Metrics) -> None:
    """Show metrics in Kubeflow."""
    for name, value in values.items():
        metrics.log_metric(name, value)
    # Kubeflow never takes a task from its cache whose Metrics output has no file.
    Path(metrics.path).write_text(canonical_json(dict(values)), encoding="utf-8")
