"""Stage reports as output parameters, and back."""

from collections.abc import Iterable
from urllib.parse import quote, unquote

from bt_core.records import StageReport, dump_report, load_report

#: Where a report carries the id of its MLflow run on to the `register` component.
RUN_ID = "mlflow_run_id"

# Kubeflow pastes the elements of a list parameter into JSON without escaping them, so a report on its way to
# `register` may hold no quote and no backslash: those (and `$`, which starts a placeholder) are %-encoded.
_PASTED_SAFELY = " !#&()*+,-./:;<=>?@[]^_`{|}~"


def write_report(report: StageReport) -> str:
    """A compact report as text that survives Kubeflow's list parameters."""
    return quote(dump_report(report, compact=True), safe=_PASTED_SAFELY)


def read_report(text: str) -> StageReport:
    """The inverse of `write_report`, for anyone who reads a component's report output."""
    return load_report(unquote(text))


def run_ids(reports: Iterable[StageReport]) -> dict[str, str]:
    """Stage label -> MLflow run id, for the stages that were tracked."""
    return {report.stage: report.params[RUN_ID] for report in reports if report.params.get(RUN_ID)}
