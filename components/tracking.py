"""What components hand to MLflow: each stage as a run, and at the end the outcome of the whole pipeline run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import bt_tracking
from bt_core.config import Config
from bt_core.program import program_sha256, read_program
from bt_core.records import StageReport
from bt_core.strategy import STEP_KINDS

#: The strategy as the pipeline's pods carry it, `p-w-p`.
STRATEGY_VARIABLE = "BT_STRATEGY"


def track_stage(
    report: StageReport, config: Config, artifacts: Mapping[str, Path], data: Mapping[str, Path]
) -> str | None:
    """Record a stage whose outputs are on disk; the id of its run, or None when tracking is off."""
    strategy = os.environ.get(STRATEGY_VARIABLE, "").replace("-", " -> ")
    if strategy:  # at every stage, since the earlier ones may have come from the cache
        bt_tracking.start_parent(config, strategy, started=report.started)
    used = [
        bt_tracking.DataSet.from_jsonl(path, split, config.task, config.data or config.task)
        for split, path in data.items()
    ]
    return bt_tracking.record(report, artifacts, datasets=used)


def track_outcome(
    report: StageReport, steps: Sequence[StageReport], config: Config, strategy: str, program: Path, run_id: str | None
) -> None:
    """Put the outcome on the pipeline run, and the shipped program and its prompts into MLflow's registries."""
    optimised = [step.metrics for step in steps if step.kind in STEP_KINDS]
    scores = [optimised[0]["val/score_before"], *(metrics["val/score"] for metrics in optimised)]  # 0: vanilla
    test = {name: value for step in steps for name, value in step.metrics.items() if name.startswith("test/")}
    tags = {"strategy": strategy, "seed": str(config.seed), "program.sha256": program_sha256(program)}
    series = {"val/score": list(enumerate(scores))}
    bt_tracking.finish_parent(test, series, note=report.note, tags={"program.sha256": tags["program.sha256"]})
    bt_tracking.register_model(config.task, run_id, tags=tags, safe=program)
    bt_tracking.register_prompts(read_program(program), run_id, tags=tags)
