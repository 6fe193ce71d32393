"""What a run says in the end of stages that MLflow did not take."""

from pathlib import Path

from bt_cli.local.run import untracked
from bt_core.records import StageReport
from bt_runner.events import LocalRun, TaskEnded
from bt_runtime.reports import RUN_ID, write_report


def _ended(*reports: StageReport) -> TaskEnded:
    return TaskEnded("task", "task", ok=True, seconds=1.0, parameters={"Output": write_report(*reports)})


def test_the_stages_without_a_run_are_named() -> None:
    tasks = {
        "prepare": _ended(StageReport("prepare", "prepare", params={RUN_ID: "a1"})),
        "1.bootstrap": _ended(StageReport("1.bootstrap", "bootstrap", params={RUN_ID: None})),
        "1.p.1of2": _ended(StageReport("1.p.1of2", "p")),  # a shard, which is recorded with the others
        "importer": TaskEnded("importer", "importer", ok=True, seconds=0.1),
        "evaluate": _ended(
            StageReport("evaluate", "evaluate", params={RUN_ID: None}),
            StageReport("register", "register", params={RUN_ID: None}),
        ),
    }
    assert untracked(LocalRun(tasks, Path("run.log"), 1.0)) == ["1.bootstrap", "evaluate", "register"]
