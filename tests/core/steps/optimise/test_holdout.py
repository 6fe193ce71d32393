"""Which traces a weight step holds out for its validation loss: a share of them, and whole groups."""

from pathlib import Path

import pytest

from bt_core.engine.training.job import Curve, TrainingJob
from bt_core.records import read_jsonl, row_id
from bt_core.steps.optimise.adapter_training import AdapterTraining
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from tests.core.conftest import Recorder
from tests.core.flow import Flow
from tests.core.steps.test_defects import TOY, passing_trace


@pytest.mark.parametrize(("size", "held_out"), [(0, 4), (1, 4), (2, 4), (3, 3), (4, 4), (5, 2), (12, 0)])
def test_no_group_is_both_learnt_from_and_held_out(
    size: int, held_out: int, tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    """Four of 12 traces are to be held out, from groups of `size` rows; 0: there are no groups."""
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, w={"holdout": 0.34})
    rows = read_jsonl(tmp_path / "train.jsonl")
    groups = {row_id(row): f"g{number // size}" if size else None for number, row in enumerate(rows)}
    jobs: list[TrainingJob] = []

    def remote(job: TrainingJob, folder: Path, key: str) -> Curve:
        jobs.append(job)
        return Curve([], [], best_epoch=0, tokens=0, seconds=0.0, micro_batch=1)

    session = Session(Stage.open("2.w", "w", tmp_path / "vanilla", flow.config), recorder)
    training = AdapterTraining(session, tmp_path / "out", groups, remote)
    training.run(session.stage.program.predictors, [passing_trace(row) for row in rows])
    (job,) = jobs
    assert len(job.held_out) == 2 * held_out, "a trace has two calls"
    assert len(job.rows) + len(job.held_out) == 24
    for number in range(12 // size if size else 0):
        things = [row["thing"] for row in rows if groups[row_id(row)] == f"g{number}"]
        sides = [
            any(thing in message.content for row in side for message in row.messages for thing in things)
            for side in (job.rows, job.held_out)
        ]
        assert sides != [True, True]
