"""A retraining on this machine, from its settings to its folder."""

import json
import shutil
from typing import Any

from bt_cli.local.ending import ending
from bt_cli.local.run import new_run_id, run_pipeline, task_environment
from bt_cli.options.settings import RunSettings
from bt_cli.run_folder import RunFolder
from bt_core.records import canonical_json
from bt_core.steps.retrain.fresh import REASON
from bt_core.strategy import Strategy, strategy_slug
from bt_runner.events import LocalRun
from bt_runner.worker import start_worker
from bt_runtime.retraining import STOPPED
from bt_tracking.serving import PROGRAM

#: What to do after a signal.
GO_ON = "the same command goes on from them in another folder"


def execute_retrain(
    strategy: Strategy,
    settings: RunSettings,
    folder: RunFolder,
    tracking_uri: str | None,
    cache: bool,
    fuse: bool = False,
) -> dict[str, Any]:
    """Run a retraining on this machine and return what result.json holds.

    Args:
        strategy: the steps that make the challenger.
        settings: the settings that the user made.
        folder: the run's folder, which is empty.
        tracking_uri: the MLflow server that the user named, if any. It holds the champion and the ledger of rows.
        cache: whether tasks may use LM answers and adapters of earlier runs.
        fuse: whether all steps run in one task, which loads the model once.

    Raises:
        BtError: the sentence of the task that failed.
    """
    environment = task_environment(folder, strategy_slug(strategy), new_run_id(folder), tracking_uri, cache)
    with ending(folder, environment, GO_ON) as end, start_worker(environment) as worker:
        # Imported here, so that both processes import at the same time.
        from bt_pipelines.better_together import Options
        from bt_pipelines.compile import compile_retrain

        compile_retrain(strategy, folder.pipeline, Options(fuse=fuse), for_cluster=False)
        done = run_pipeline(folder, settings.parameters, environment, end, worker)
    return _collect(done, folder)


def _collect(done: LocalRun, folder: RunFolder) -> dict[str, Any]:
    """Copy the files that a person reads out of the tasks' outputs, and write result.json."""
    fresh_report = done.tasks["fresh-data"].report
    if fresh_report.params[REASON]:
        result = {"outcome": STOPPED, "reason": fresh_report.params[REASON], "drift": []}
    else:
        # The task has a second name where the challenger was in shadow.
        (promoted,) = (task.artifacts for label, task in done.tasks.items() if label.startswith("promote"))
        shutil.copyfile(done.tasks["challenge"].artifacts["results"], folder.results)
        shutil.copytree(promoted["model"] / PROGRAM, folder.program)
        result = json.loads(promoted["outcome"].read_text(encoding="utf-8"))
        result |= {"program": str(folder.program), "drift": list(done.tasks["drift"].report.warnings)}
    result["rows"] = fresh_report.metrics
    folder.result.write_text(canonical_json(result), encoding="utf-8")
    return dict(result)
