"""Log the content of a run within MLflow's limits: parameters, metrics, series, tags, data sets and files."""

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from bt_core.records import Usage
from bt_tracking.connection import RetryingClient
from bt_tracking.data import DataSet
from bt_tracking.notes import NOTE_LIMIT, fit_note

LOGGER = logging.getLogger(__name__)

NOTE_TAG = "mlflow.note.content"
NOTE_FILE = "note.md"
_PARAM_LENGTH, _TAG_LENGTH, _KEY_LENGTH = 6000, 8000, 250
_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 1000
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :/]")

T = TypeVar("T")
Series = Mapping[str, Sequence[tuple[int, float]]]


def milliseconds(seconds: float) -> int:
    """Unix seconds as the Unix milliseconds that MLflow counts in."""
    return int(seconds * 1000)


def flatten(values: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Nested settings as MLflow parameters: `{"rank": 8}` under `w` becomes `w/rank: 8`. Empty values are left out."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        key = name if name.startswith(f"{prefix}/") else f"{prefix}/{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, key)
        elif value is not None and value != "":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            flat[_key(key)] = _cut(text, _PARAM_LENGTH)
    return flat


def cost_metrics(usage: Usage, seconds: float) -> dict[str, float]:
    """What a stage or a run took, as metrics with a section of their own in the UI.

    Args:
        usage: of the engines.
        seconds: wall time.
    """
    cost: dict[str, float] = {"usage/wall_seconds": round(max(0.0, seconds), 3)}
    if usage != Usage():
        values = asdict(usage)
        cost |= {f"usage/{'engine_seconds' if name == 'seconds' else name}": value for name, value in values.items()}
    return cost


def log_params(client: RetryingClient, run: Any, params: Mapping[str, str]) -> None:
    """Log the parameters that the run lacks: MLflow refuses a whole batch for one value that differs."""
    logged = run.data.params
    changed = sorted(name for name, value in params.items() if logged.get(name, value) != value)
    if changed:
        LOGGER.warning("The run %s keeps its earlier values of %s.", run.info.run_id, ", ".join(changed))
    from mlflow.entities import Param

    new = [Param(name, value) for name, value in params.items() if name not in logged]
    for batch in _batches(new, _PARAMS_A_BATCH):
        client.log_batch(run.info.run_id, params=batch)


def log_tags(client: RetryingClient, run: Any, tags: Mapping[str, str]) -> None:
    """Set tags, cut to MLflow's length. Tags that the run has already are not written again."""
    from mlflow.entities import RunTag

    cut_tags = {_key(name): _cut(value, _TAG_LENGTH) for name, value in tags.items()}
    entries = [RunTag(name, value) for name, value in cut_tags.items() if run.data.tags.get(name) != value]
    for batch in _batches(entries, _PARAMS_A_BATCH):
        client.log_batch(run.info.run_id, tags=batch)


def log_metrics(client: RetryingClient, run: Any, metrics: Mapping[str, float], series: Series, when: int) -> None:
    """Log metrics at the time `when` (Unix milliseconds), and series by their steps.

    The points of a series are dated from the run's start. So MLflow drops those that it has already when a task is
    recorded a second time.
    """
    from mlflow.entities import Metric

    entries = [Metric(_key(name), float(value), when, 0) for name, value in metrics.items()]
    for name, points in series.items():
        for index, (step, value) in enumerate(points):
            entries.append(Metric(_key(name), float(value), run.info.start_time + index, step))
    for batch in _batches(entries, _METRICS_A_BATCH):
        client.log_batch(run.info.run_id, metrics=batch)


def log_note(client: RetryingClient, run: Any, note: str) -> None:
    """Set the Markdown that MLflow shows on top of the run. A note that is too long is also logged as a file."""
    if not note:
        return
    client.set_tag(run.info.run_id, NOTE_TAG, fit_note(note))
    if len(note) > NOTE_LIMIT:
        client.log_text(run.info.run_id, note, NOTE_FILE)


def log_data_sets(client: RetryingClient, run: Any, data_sets: Sequence[DataSet]) -> None:
    """Log the data sets that the run used, except empty ones. MLflow keeps one input for each name and digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    logged = {entry.dataset.digest for entry in run.inputs.dataset_inputs} if run.inputs else set()
    inputs = [
        DatasetInput(
            Dataset(data.name, data.digest, "local", json.dumps({"uri": data.source}), profile=data.profile),
            [InputTag("mlflow.data.context", data.context)],
        )
        for data in data_sets
        if data.rows and data.digest not in logged
    ]
    if inputs:
        client.log_inputs(run.info.run_id, inputs)


def log_artifacts(client: RetryingClient, run: Any, artifacts: Mapping[str, Path]) -> None:
    """Upload folders and files, byte for byte, under the given names (`program`, `traces.jsonl`)."""
    for name, path in artifacts.items():
        if path.is_dir():
            client.log_artifacts(run.info.run_id, str(path), name)
            continue
        # MLflow takes a file's local name, which the orchestrator chose; a link gives the file our name.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / Path(name).name
            link.symlink_to(path.absolute())
            within = str(Path(name).parent)
            client.log_artifact(run.info.run_id, str(link), None if within == "." else within)


def _key(name: str) -> str:
    return _NOT_IN_A_KEY.sub("_", name)[:_KEY_LENGTH]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _batches(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
