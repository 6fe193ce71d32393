"""Rows that people collected and corrected in MLflow come back as data."""

from typing import Any

import pytest

import bt_tracking
from bt_core.data import read_source
from bt_core.errors import DataError
from bt_core.records import StageReport
from bt_tracking import TraceOwner
from bt_tracking.connection import RetryingClient
from tests.tracking.test_traces import ROW, traces_of


def create(client: RetryingClient, name: str, records: list[Any]) -> None:
    dataset = client.create_dataset(name)
    if records:
        dataset.merge_records(records)


def test_inputs_and_expectations_are_the_columns(store: RetryingClient) -> None:
    records = [
        {"inputs": {"city": "Łódź", "n": 1}, "expectations": {"continent": "Europe"}},
        {"inputs": {"city": "Lima", "n": None}, "expectations": {"continent": "South America"}},
    ]
    create(store, "cities of 2026", records)
    found = read_source("mlflow:cities of 2026")
    expected = [{**record["inputs"], **record["expectations"]} for record in records]
    assert sorted(found, key=lambda row: row["city"]) == sorted(expected, key=lambda row: row["city"])


def test_a_corrected_trace_comes_back_with_the_correction(store: RetryingClient, report: StageReport) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource, Expectation

    run_id = bt_tracking.record(report, {})
    assert run_id
    bt_tracking.record_traces([ROW], TraceOwner(run_id, "continents", "tiny"), 1_700_000_000.0, 60.0)
    (trace,) = traces_of(store, run_id=run_id)
    (expected,) = [one for one in trace.info.assessments if one.expectation]
    person = AssessmentSource(source_type="HUMAN", source_id="ada")
    corrected = Expectation(name=expected.name, value="Asia", source=person)
    mlflow.update_assessment(trace.info.trace_id, expected.assessment_id, corrected)
    create(store, "corrected", list(traces_of(store, run_id=run_id)))
    assert read_source("mlflow:corrected") == [{"city": "Łódź", "continent": "Asia"}]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mlflow:none", "MLflow has no evaluation data set called 'none': check the name"),
        ("mlflow:empty", "The data set empty in MLflow holds no records: add some"),
        ("mlflow:twice", "mlflow:twice, record 1: `city` is both an input and an expectation; rename one"),
    ],
)
def test_what_cannot_be_read_is_refused(address: str, sentence: str, store: RetryingClient) -> None:
    create(store, "empty", [])
    create(store, "twice", [{"inputs": {"city": "Lima"}, "expectations": {"city": "Lima"}}])
    with pytest.raises(DataError, match=sentence):
        read_source(address)


def test_without_mlflow_the_address_cannot_be_read() -> None:
    with pytest.raises(DataError, match=r"The data mlflow:cities lie in MLflow: set MLFLOW_TRACKING_URI, or give"):
        read_source("mlflow:cities")
