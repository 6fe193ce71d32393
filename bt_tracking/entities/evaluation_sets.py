"""Rows from an evaluation data set of MLflow, in which people collect and correct examples."""

from typing import Any

from bt_core.errors import DataError
from bt_core.records import Row
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import TrackingSettings

#: How an address begins that names such a data set.
BEGINNING = "mlflow:"


def read(address: str) -> list[Row]:
    """The records of a data set, oldest first: its inputs and its expectations are the columns of a row.

    Args:
        address: `mlflow:NAME`.

    Raises:
        DataError: when no MLflow server is set, it has no such data set, the data set is empty, or a record has the
            same column twice.
        TrackingError: when the server does not answer or refuses.
    """
    name = address.removeprefix(BEGINNING)
    settings = TrackingSettings.from_environment()
    if settings is None:
        raise DataError(f"The data {address} lie in MLflow: set MLFLOW_TRACKING_URI, or give --tracking-uri.")
    with connect(settings, f"that the data set {name} was read") as client:
        records = _records(client, settings.uri, name)
    rows = [_row(record, number, address) for number, record in enumerate(records, start=1)]
    if not rows:
        raise DataError(f"The data set {name} in MLflow holds no records: add some, or name another one.")
    return rows


def _records(client: RetryingClient, uri: str, name: str) -> list[Any]:
    from mlflow.tracking._tracking_service.utils import _get_store

    quote = "'" if '"' in name else '"'  # MLflow's search has no way to escape one
    found = client.search_datasets(filter_string=f"name = {quote}{name}{quote}", max_results=2)
    if not found:
        raise DataError(f"MLflow has no evaluation data set called {name!r}: check the name and MLFLOW_TRACKING_URI.")
    if len(found) > 1:
        raise DataError(f"MLflow has several evaluation data sets called {name!r}: rename all but one.")
    # `found[0].records` would ask the address that the process has set, which a user's module may have changed.
    records, _ = client.retried(_get_store(uri)._load_dataset_records, found[0].dataset_id, max_results=None)
    return sorted(records, key=lambda record: (record.created_time, record.dataset_record_id))


def _row(record: Any, number: int, address: str) -> Row:
    inputs, expectations = record.inputs, record.expectations or {}
    twice = sorted(inputs.keys() & expectations.keys())
    if twice:
        raise DataError(
            f"{address}, record {number}: `{twice[0]}` is both an input and an expectation; rename one of them."
        )
    return {**inputs, **expectations}
