"""A sweep on this machine. One that was stopped goes on: what it had computed by then comes from the cache."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bt_cli.local.run import new_run_id, run_pipeline, task_environment
from bt_cli.local.sweep_claim import check_unclaimed, claimed
from bt_cli.options.sweep import SweepRequest
from bt_cli.options.sweep_arguments import SweepArguments
from bt_cli.run_folder import SweepFolder, first_entry
from bt_core.errors import ConfigError
from bt_core.formats.sweep import Sweep
from bt_core.records import canonical_json
from bt_core.statistics import VANILLA
from bt_core.steps.sweep.folders import ScoredFolder
from bt_pipelines.compile import compile_sweep
from bt_runner.events import LocalRun
from bt_runtime.tracking import SWEEP


def execute_sweep(
    request: SweepRequest, path: Path, tracking_uri: str | None, cache: bool
) -> tuple[SweepFolder, Sweep]:
    """Run a sweep on this machine; one that is finished is not run again.

    Args:
        request: the strategies, seeds and settings to compare.
        path: a new folder, or the folder of the same sweep, which then goes on.
        tracking_uri: the MLflow server that the user named, if any.
        cache: whether tasks may use LM answers and adapters of earlier runs.

    Returns:
        The folder and the content of sweep.json.

    Raises:
        ConfigError: when the folder holds something else, or the sweep that this one extends has another extension.
        BtError: the sentence of the task that failed.
    """
    if request.first:
        check_unclaimed(request.first.folder, SweepFolder(path.resolve()))
    folder, run_id = _open(request, path)
    if not folder.sweep.exists():
        with _locked(folder), claimed(request.first, folder):
            for left in folder.artifacts.glob("*/"):  # outputs of an earlier call's tasks
                shutil.rmtree(left)
            environment = task_environment(folder, SWEEP, run_id, tracking_uri, cache)
            _collect(run_pipeline(folder, request.parameters, environment), folder)
    return folder, Sweep.read(folder.sweep)


def _open(request: SweepRequest, path: Path) -> tuple[SweepFolder, str]:
    """The folder, with its pipeline compiled, and the id of the pipeline run."""
    folder = SweepFolder(path.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"
        compile_sweep(request.strategies, request.seeds, file, for_cluster=False)
        compiled = file.read_text("utf-8")
    arguments = {"command": request.command, "parameters": request.parameters}
    first = first_entry(path)
    if first is None:
        folder.path.mkdir(parents=True, exist_ok=True)
        _write(folder.arguments, canonical_json(arguments | {"run_id": new_run_id(folder)}))
    elif not folder.arguments.is_file():
        raise ConfigError(
            f"The --out folder {path} is not empty and holds no sweep ({first.name}): name another one, nothing was"
            " written."
        )
    earlier = SweepArguments.read(folder.arguments, "name another --out folder")
    is_same = earlier.parameters == request.parameters
    if not is_same or (folder.pipeline.exists() and folder.pipeline.read_text("utf-8") != compiled):
        other = "other arguments" if not is_same else "another version"
        raise ConfigError(
            f"The --out folder {path} holds a sweep of {other} ({earlier.command}): name another one, nothing was"
            " written."
        )
    if not folder.pipeline.exists():
        _write(folder.pipeline, compiled)
    return folder, earlier.run_id


@contextmanager
def _locked(folder: SweepFolder) -> Iterator[None]:
    """Lock the folder for the block. The lock ends with the process, however the process ends."""
    with folder.arguments.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"The sweep in {folder.path} is being run by another process: wait for it, or end it first."
            ) from None
        yield


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    scratch = path.with_name(f"{path.name}.partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _collect(done: LocalRun, folder: SweepFolder) -> None:
    """Copy the files that a person reads out of the tasks' outputs; sweep.json last, as a sign that all are there."""
    for left in (folder.program, folder.scores(VANILLA, 0).parent):
        shutil.rmtree(left, ignore_errors=True)
    folder.scores(VANILLA, 0).parent.mkdir()
    for task in done.tasks.values():
        for report in task.reports if "scored" in task.artifacts else ():
            arm, seed = report.params["arm"], report.params["seed"]
            shutil.copyfile(ScoredFolder(task.artifacts["scored"]).results(arm), folder.scores(arm, seed))
    artifacts = done.tasks["report-sweep"].artifacts
    sweep = Sweep.read(artifacts["sweep"])
    best = (sweep.winner.arm, sweep.winner.seed) if sweep.winner else (VANILLA, sweep.seeds[0])
    shutil.copyfile(folder.scores(*best), folder.results)
    shutil.copytree(artifacts["program"], folder.program)
    shutil.copyfile(artifacts["html"], folder.html)
    shutil.copyfile(artifacts["markdown"], folder.markdown)
    _write(folder.sweep, sweep.text())
