"""The common tail of components."""

import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Config
from bt_core.errors import DataError
from bt_core.records import CURVE_POINTS, StageReport, Usage
from bt_core.steps.sweep.tree import DEFAULT_STRATEGIES, tasks_a_seed
from bt_pipelines.sweep import MOST_REPORTS
from bt_runtime.finish import finish
from bt_runtime.reports import RUN_ID, read_report, run_ids, write_report


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


def test_reports_are_short_enough_to_be_passed_on_together() -> None:
    """Kubeflow passes a list of reports twice, in one argument of 128 KB."""
    rng = random.Random(0)
    losses = [(step, rng.random()) for step in range(200)]
    params = Config(task="iris").w.model_dump(mode="json") | {RUN_ID: f"{rng.getrandbits(128):032x}"}
    metrics = {"val/score": 0.72, "val/score_before": 0.68, "traces/kept": 39.0, "train/tokens": 12345.0}
    usage = Usage(760, 120, 72030, 31234, 3652, 55.123)
    trained = StageReport("s0.p.w", "w", params, metrics, {"train/loss": losses}, "note", (), usage, 1.7e9, 1.8e9)
    rows = tuple(float(rng.random() < 0.7) for _ in range(150))
    uri = f"minio://mlpipeline/v2/artifacts/better-together-sweep/{rng.getrandbits(128):032x}/lora-finetune/optimised"
    params = {"program_uri": uri, "results_uri": uri.replace("optimised", "results"), "arm": "p -> w", "outcomes": []}
    scored = StageReport("s0.p.w.score", "score", params, {"test/score": 0.7}, usage=usage, scores=rows)

    lengths = [len(write_report(report)) for report in (trained, scored)]
    assert max(lengths) < 500
    assert 2 * MOST_REPORTS * sum(lengths) / 2 < 128_000
    points = read_report(write_report(trained)).series["train/loss"]
    assert len(points) == CURVE_POINTS
    assert (points[0][0], points[-1][0]) == (0, 199)


def test_a_sweep_with_a_graded_metric_fits_too() -> None:
    """The paper's strategies under three seeds, a score of 17 digits for each of 150 rows."""
    rng = random.Random(0)
    scored = StageReport("s0.p.w.score", "score", scores=tuple(rng.random() for _ in range(150)))
    text = write_report(scored)
    assert read_report(text).scores == pytest.approx(scored.scores, rel=1e-3)
    arms = 3 * len(DEFAULT_STRATEGIES) + 1
    others = 3 * tasks_a_seed(DEFAULT_STRATEGIES) + 1 - arms
    assert 2 * (arms * (len(text) + 250) + others * 450) < 128_000, "250 for what else a score's report holds"


def test_run_ids_are_those_of_tracked_stages() -> None:
    reports = [StageReport("1.p", "p", {RUN_ID: "abc"}), StageReport("1.select", "select", {RUN_ID: None})]
    assert run_ids(reports) == {"1.p": "abc"}


def test_finish_writes_metrics_and_returns_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    metrics = RecordedMetrics(tmp_path / "metrics")
    report = StageReport("1.p", "p", metrics={"val/score": 0.5}, series={"search/score": [(0, 0.25)]}, note="words")
    text = finish(report, Config(task="iris").model_dump_json(), metrics, {})

    assert metrics.logged == {"val/score": 0.5}
    assert json.loads((tmp_path / "metrics").read_text()) == {"val/score": 0.5}
    back = read_report(text)
    assert back.metrics == report.metrics
    assert back.series == {}
    assert back.params == {RUN_ID: None}


def test_a_stage_without_metrics_still_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    finish(
        StageReport("1.select", "select"), Config(task="iris").model_dump_json(), RecordedMetrics(tmp_path / "m"), {}
    )
    assert (tmp_path / "m").read_text() == "{}\n"
