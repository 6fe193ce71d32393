"""A run on this machine: compile the strategy, run the compiled file, collect the results in the run's folder."""

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_cli.local.ending import Ending, ending
from bt_cli.options.settings import RunSettings
from bt_cli.run_folder import Folder, RunFolder
from bt_cli.view.console import stderr
from bt_cli.view.progress import progress_on
from bt_cli.view.summary import short
from bt_core.engine.response_cache import CACHE_VARIABLE, cache_folder
from bt_core.formats.run_result import RunResult
from bt_core.progress import VARIABLE as PROGRESS_VARIABLE
from bt_core.strategy import Strategy, strategy_slug
from bt_core.yaml_text import first_document
from bt_pipelines.workflow_size import task_starts
from bt_runner.events import Event, LocalRun
from bt_runner.run import run_locally
from bt_runner.worker import Worker, start_worker
from bt_runtime.reports import RUN_ID
from bt_runtime.tracking import STRATEGY_VARIABLE
from bt_tracking.server import local_store
from bt_tracking.settings import FOLDER_VARIABLE, absolute

#: MLflow's own variable for its server.
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


def execute(
    strategy: Strategy,
    settings: RunSettings,
    folder: RunFolder,
    tracking_uri: str | None,
    cache: bool,
    fuse: bool = False,
    shards: int = 0,
) -> RunResult:
    """Run a strategy on this machine and return its result.json.

    Args:
        strategy: the steps.
        settings: the settings that the user made.
        folder: the run's folder, which is empty.
        tracking_uri: the MLflow server that the user named, if any.
        cache: whether tasks may use LM answers and adapters of earlier runs.
        fuse: whether all steps run in one task, which loads the model once.
        shards: number of tasks that share the rows of a bootstrap or of the evaluation; here they run one after
            another. 0 stands for a single task.

    Raises:
        BtError: the sentence of the task that failed.
    """
    environment = task_environment(folder, strategy_slug(strategy), new_run_id(folder), tracking_uri, cache)
    go_on = f"the same command with --out {short(folder.path)} goes on from there"
    with ending(folder, environment, go_on) as end, start_worker(environment) as worker:
        # Imported here, so that both processes import at the same time.
        from bt_pipelines.better_together import Options
        from bt_pipelines.compile import compile_strategy

        compile_strategy(strategy, folder.pipeline, Options(fuse=fuse, shards=shards), for_cluster=False)
        done = run_pipeline(folder, settings.parameters, environment, end, worker)
    return collect(done, folder)


def new_run_id(folder: Folder) -> str:
    """A new id for the pipeline run, by which its stages find their parent run in MLflow.

    Of the folder's name it holds letters, digits, `-`, `_` and `.`, since MLflow's searches cannot quote all else.
    """
    name = re.sub(r"[^\w.-]", "-", folder.path.name)
    return f"{name}-{uuid.uuid4().hex[:8]}"


def tracking_server(named: str | None) -> str | None:
    """The MLflow server that the user named, by the option or else by MLflow's own variable; None for a local store."""
    uri = named or os.environ.get(TRACKING_VARIABLE)
    return absolute(uri) if uri else None


def task_environment(folder: Folder, slug: str, run_id: str, tracking_uri: str | None, cache: bool) -> dict[str, str]:
    """The environment variables of the tasks; `slug` is the strategy as the pods of a cluster carry it."""
    return {
        TRACKING_VARIABLE: tracking_server(tracking_uri) or local_store(folder.path.parent),
        "BT_RUN_ID": run_id,
        FOLDER_VARIABLE: str(folder.path),
        STRATEGY_VARIABLE: slug,
        **({PROGRESS_VARIABLE: "1"} if stderr().is_terminal and PROGRESS_VARIABLE not in os.environ else {}),
        CACHE_VARIABLE: str((cache_folder() or folder.caches).resolve()) if cache else "",
    }


def run_pipeline(
    folder: Folder,
    parameters: Mapping[str, Any],
    environment: Mapping[str, str],
    end: Ending,
    worker: Worker | None = None,
) -> LocalRun:
    """Run the folder's compiled file and show its progress, inside a block of `ending`.

    Raises:
        BtError: the sentence of the task that failed.
    """
    progress = progress_on(stderr(), task_count(folder.pipeline))

    def tell(event: Event) -> None:
        end.tell(event)
        progress.tell(event)

    with progress.show():
        done = run_locally(folder.pipeline, folder.artifacts, parameters, environment, on_event=tell, worker=worker)
    if missing := untracked(done):
        stderr().print(
            f"warning: MLflow has no record of {', '.join(missing)}, since it did not answer or refused ({done.log});"
            " the results are whole.",
            markup=False,
        )
    return done


def untracked(done: LocalRun) -> list[str]:
    """The stages that MLflow has no run of, although they were to be recorded."""
    reports = [report for task in done.tasks.values() if task.has_report for report in task.reports]
    return [report.stage for report in reports if report.params.get(RUN_ID, "") is None]


def task_count(pipeline: Path) -> int:
    """The number of tasks that a compiled pipeline runs; a task in a loop counts once for each item."""
    first = first_document(pipeline.read_text(encoding="utf-8"))
    return sum(1 for _ in task_starts(first, first["root"]))


def collect(done: LocalRun, folder: RunFolder) -> RunResult:
    """Copy the files that a person reads out of the tasks' outputs, and write result.json."""
    evaluated = done.tasks["evaluate"].artifacts
    shutil.copyfile(evaluated["results"] / folder.results.name, folder.results)
    shutil.copytree(evaluated["results"] / folder.program.name, folder.program)
    shutil.copyfile(evaluated["html"], folder.html)
    registered = RunResult.read(evaluated["results"] / folder.result.name)
    result = registered.model_copy(update={"program": str(folder.program)})
    result.write(folder.result)
    return result
