"""Where a stage stands in the tree of a sweep, and what the folder of a seed's scores holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.config import Config
from bt_core.records import StageReport
from bt_core.steps.sweep.folders import ScoredFolder
from bt_core.steps.sweep.tree import SweepStage, labelled

CONFIG = Config(task="tests.core.toy:task", seed=3, data_seed=3)


@pytest.mark.parametrize("label", ["s0.p", "s12.p.w.score", "s0.score", "s3.bootstrap", "s1.w.w.bootstrap"])
def test_labels_are_read_back(label: str) -> None:
    assert SweepStage.of(label).label == label


def test_a_stage_of_a_single_run_gets_its_position_in_the_tree() -> None:
    kinds = ("prepare", "bootstrap", "p", "bootstrap", "w", "score")
    reports = [StageReport(f"own label {kind}", kind, metrics={"n": float(n)}) for n, kind in enumerate(kinds)]
    placed = labelled(4, reports)
    labels = ["s4.prepare", "s4.bootstrap", "s4.p", "s4.p.bootstrap", "s4.p.w", "s4.p.w.score"]
    assert placed == [replace(report, stage=label) for report, label in zip(reports, labels, strict=True)]
    assert labelled(0, []) == []
    assert [report.stage for report in labelled(0, [reports[0], reports[-1]])] == ["s0.prepare", "s0.score"]


def test_the_scores_of_a_seed_hold_each_stage_once(tmp_path: Path) -> None:
    """Arms share their first steps, and each arm brings the reports of all steps behind it."""
    scored = ScoredFolder(tmp_path)
    prepared, shared, last = (StageReport(f"s0.{name}", name, note=name) for name in ("prepare", "p", "w"))
    scored.write(CONFIG, [prepared, shared, prepared, shared, last])
    assert scored.reports == [prepared, shared, last]
    assert scored.config == CONFIG


def test_the_results_of_each_arm_have_a_file() -> None:
    scored = ScoredFolder(Path("scored"))
    names = {arm: scored.results(arm).name for arm in ("vanilla", "p", "p -> w -> p")}
    assert names == {"vanilla": "vanilla.jsonl", "p": "p.jsonl", "p -> w -> p": "p-w-p.jsonl"}
