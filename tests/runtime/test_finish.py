"""The common tail of components."""

import json
import random
import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Config
from bt_core.errors import DataError
from bt_core.records import CURVE_POINTS, StageReport, Usage
from bt_core.steps.stage import FinishedStage
from bt_core.steps.sweep.folders import PROGRAM_URI
from bt_pipelines.pods.profile import MOST_SHARDS
from bt_pipelines.sweep import MOST_ARMS
from bt_runtime.finish import finish, finish_each
from bt_runtime.reports import RUN_ID, read_report, read_reports, run_ids, write_report


class RecordedMetrics:
    """What `dsl.Metrics` offers, kept in a list."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.logged: dict[str, float] = {}

    def log_metric(self, metric: str, value: float) -> None:
        self.logged[metric] = value


@given(st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_a_packed_report_can_be_read_and_pasted_into_json(name: str, warning: str, value: float) -> None:
    report = StageReport("1.p", "p", {name: warning}, {name: value}, warnings=(warning,), usage=Usage(3), scores=(1.0,))
    text = write_report(report)
    assert read_report(text) == report
    assert json.loads(f'"{text}"') == text, "pasted into JSON, it is itself"
    assert set(text) <= set(string.printable) - set('"\\$\n\r\t\x0b\x0c')


def test_a_text_that_is_not_a_report_is_refused() -> None:
    for text in ("", "eJw=", "{}", write_report(StageReport("1.p", "p"))[:40]):
        with pytest.raises(DataError, match="A stage report cannot be read"):
            read_report(text)


def test_reports_are_short_enough_to_be_passed_on() -> None:
    """Those of shards travel as lists, which Kubeflow passes twice, in one argument of 128 KB; a sweep's one by one."""
    rng = random.Random(0)
    losses = [(step, rng.random()) for step in range(200)]
    params = Config(task="iris").w.model_dump(mode="json") | {RUN_ID: f"{rng.getrandbits(128):032x}"}
    metrics = {"val/score": 0.72, "val/score_before": 0.68, "traces/kept": 39.0, "train/tokens": 12345.0}
    metrics |= {"select/best": 0.72, "select/new": 1.0}
    usage = Usage(760, 120, 72030, 31234, 3652, 55.123)
    trained = StageReport("2.w", "w", params, metrics, {"train/loss": losses}, "note", (), usage, 1.7e9, 1.8e9)
    rows = tuple(float(rng.random() < 0.7) for _ in range(150))
    uri = f"minio://mlpipeline/v2/artifacts/better-together/{rng.getrandbits(128):032x}/lora-finetune/optimised"
    params = {PROGRAM_URI: uri, "arm": "p -> w", "outcomes": []}
    scored = StageReport("score", "score", params, {"test/score": 0.7}, usage=usage, scores=rows)
    name = f"evaluate.final.{MOST_SHARDS}of{MOST_SHARDS}"
    shard = StageReport(name, "shard", metrics={"shard/rows": 3.0}, usage=usage, started=1.7e9 + 0.1, ended=1.7e9 + 0.7)

    assert max(len(write_report(report)) for report in (trained, scored)) < 500
    both_programs = 2 * MOST_SHARDS
    assert 2 * both_programs * len(write_report(shard)) < 64_000, "the rest is for the addresses of the shards' traces"
    points = read_report(write_report(trained)).series["train/loss"]
    assert len(points) == CURVE_POINTS
    assert (points[0][0], points[-1][0]) == (0, 199)


def test_a_seed_of_a_sweep_with_a_graded_metric_fits_too() -> None:
    """As many arms as there may be, a score of 17 digits for each of 150 rows, in one parameter."""
    rng = random.Random(0)
    scored = [StageReport("score", "score", scores=tuple(rng.random() for _ in range(150))) for _ in range(MOST_ARMS)]
    text = write_report(*scored)
    for report, whole in zip(read_reports([text]), scored, strict=True):
        assert report.scores == pytest.approx(whole.scores, rel=1e-3)
    assert 2 * (len(text) + MOST_ARMS * 250) < 128_000, "250 for what else a score's report holds"


def test_run_ids_are_those_of_tracked_stages() -> None:
    reports = [StageReport("1.p", "p", {RUN_ID: "abc"}), StageReport("1.bootstrap", "bootstrap", {RUN_ID: None})]
    assert run_ids(reports) == {"1.p": "abc"}


def test_finish_writes_metrics_and_returns_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    metrics = RecordedMetrics(tmp_path / "metrics")
    report = StageReport("1.p", "p", metrics={"val/score": 0.5}, series={"search/score": [(0, 0.25)]}, note="words")
    back = finish(report, Config(task="iris"), metrics)

    assert metrics.logged == {"val/score": 0.5}
    assert json.loads((tmp_path / "metrics").read_text()) == {"val/score": 0.5}
    assert back == replace(report, params={RUN_ID: None})
    assert read_report(write_report(back)).series == {}


def test_a_stage_without_metrics_still_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    finish(StageReport("compare", "compare"), Config(task="iris"), RecordedMetrics(tmp_path / "m"))
    assert (tmp_path / "m").read_text() == "{}\n"


def test_stages_of_one_task_are_shown_under_their_labels_and_lie_behind_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind: list[list[str]] = []

    def track(
        stage: FinishedStage, config: Config, before: Sequence[StageReport], *_: object, nested: bool
    ) -> StageReport:
        assert nested
        behind.append([report.stage for report in before])
        return replace(stage.report, params={RUN_ID: stage.report.stage})

    monkeypatch.setattr("bt_runtime.finish.tracked", track)
    metrics = RecordedMetrics(tmp_path / "metrics")
    stages = [
        FinishedStage(StageReport("1.bootstrap", "bootstrap", metrics={"traces/kept": 2.0}), {}, {}),
        FinishedStage(StageReport("1.p", "p", metrics={"val/score": 0.5}), {}, {}),
    ]
    reports = finish_each(stages, Config(task="iris"), metrics, [StageReport("prepare", "prepare")])
    assert run_ids(reports) == {"1.bootstrap": "1.bootstrap", "1.p": "1.p"}
    assert behind == [["prepare"], ["prepare", "1.bootstrap"]]
    assert metrics.logged == {"1.bootstrap/traces/kept": 2.0, "1.p/val/score": 0.5}
