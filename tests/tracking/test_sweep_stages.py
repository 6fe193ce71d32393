"""Stages of a sweep in MLflow: under their position in the tree, with the tags by which arms are averaged."""

from collections.abc import Callable
from typing import Any

import pytest

from bt_core.config import resolve_config
from bt_core.records import StageReport
from bt_core.steps.stage import FinishedStage
from bt_runtime.reports import RUN_ID
from bt_runtime.tracking import SWEEP, tracked
from bt_tracking.connection import RetryingClient

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]
CONFIG = resolve_config({"task": "continents", "seed": 3})
PREPARED, TRACES = StageReport("prepare", "prepare", {"seed": 3}), StageReport("1.bootstrap", "bootstrap")
STEP, LATER = StageReport("1.p", "p"), StageReport("2.w", "w")
SCORES = StageReport("score", "score", {"arm": "p -> w", "seed": 3})


def record(*stages: StageReport) -> StageReport:
    """Record the last stage; the others are behind it."""
    *behind, last = stages
    return tracked(FinishedStage(last, {}, {}), CONFIG, behind, nested=True)


def test_stages_are_recorded_under_their_position(
    store: RetryingClient, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_STRATEGY", SWEEP)
    reports = [
        record(PREPARED),
        record(PREPARED, TRACES),
        record(PREPARED, TRACES, STEP),
        record(PREPARED, TRACES, STEP, TRACES, LATER),
        record(PREPARED, TRACES, STEP, TRACES, LATER, SCORES),
        record(StageReport("compare", "compare")),
    ]
    _, children = family(store)
    labels = ["s3.prepare", "s3.bootstrap", "s3.p", "s3.p.w", "s3.p.w.score", "compare"]
    assert [children[label].info.run_id for label in labels] == [report.params[RUN_ID] for report in reports]
    assert len(children) == len(labels)
    assert [report.stage for report in reports[:4]] == ["prepare", "1.bootstrap", "1.p", "2.w"], "its own label travels"
    tags = children["s3.p.w.score"].data.tags
    assert (tags["seed"], tags["strategy"], tags["arm"]) == ("3", "p -> w", "p -> w")
    assert children["s3.p"].data.tags["seed"] == "3"
    assert "arm" not in children["s3.p"].data.tags


def test_in_a_run_of_one_strategy_a_stage_has_its_own_label(
    store: RetryingClient, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_STRATEGY", "p-w")
    record(PREPARED, TRACES, STEP, TRACES, LATER)
    (parent,), children = family(store)
    assert children.keys() == {"2.w"}
    assert children["2.w"].data.tags["mlflow.parentRunId"] == parent.info.run_id
