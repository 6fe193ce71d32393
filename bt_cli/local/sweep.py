"""A sweep on this machine. One that was stopped goes on: what it had computed by then comes from the cache."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bt_cli.local.ending import ending
from bt_cli.local.run import new_run_id, run_pipeline, task_environment
from bt_cli.local.sweep_claim import check_unclaimed, claimed
from bt_cli.new_folder import claimed_folder, first_entry
from bt_cli.options.sweep import SweepRequest
from bt_cli.options.sweep_arguments import SweepArguments
from bt_cli.run_folder import SweepFolder
from bt_core.errors import ConfigError
from bt_core.formats.sweep import Sweep
from bt_core.records import canonical_json
from bt_core.shared_files import is_claimed
from bt_core.statistics import VANILLA
from bt_core.steps.sweep.folders import ScoredFolder
from bt_pipelines.compile import compile_sweep
from bt_runner.events import LocalRun
from bt_runtime.tracking import SWEEP

#: What to do after a signal.
GO_ON = "the same command with the same --out goes on from there"


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
    folder, compiled = SweepFolder(path.resolve()), _compiled(request)
    if request.first:
        check_unclaimed(request.first.folder, folder)
    _check(request, path, folder, compiled)
    if not folder.sweep.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        refusal = f"The sweep in {folder.path} is being run by another process: wait for it, or end it first."
        with claimed_folder(folder.path, refusal):
            run_id = _open(request, path, folder, compiled)
            with claimed(request.first, folder):
                _run(request, folder, task_environment(folder, SWEEP, run_id, tracking_uri, cache))
    return folder, Sweep.read(folder.sweep)


def _run(request: SweepRequest, folder: SweepFolder, environment: Mapping[str, str]) -> None:
    for left in folder.artifacts.glob("*/"):  # outputs of an earlier call's tasks
        shutil.rmtree(left)
    with ending(folder, environment, GO_ON) as end:
        done = run_pipeline(folder, request.parameters, environment, end)
    _collect(done, folder)


def _compiled(request: SweepRequest) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"
        compile_sweep(request.strategies, request.seeds, file, for_cluster=False)
        return file.read_text("utf-8")


def _check(request: SweepRequest, path: Path, folder: SweepFolder, compiled: str) -> None:
    """Refuse a folder that holds something else than this sweep.

    Raises:
        ConfigError: names an entry of the folder, or the command that began the sweep in it.
    """
    first = first_entry(path)
    if first is None or (not folder.arguments.is_file() and is_claimed(path)):  # another process is beginning one
        return
    if not folder.arguments.is_file():
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


def _open(request: SweepRequest, path: Path, folder: SweepFolder, compiled: str) -> str:
    """Begin the sweep in a folder that is claimed, or go on with it; return the id of the pipeline run."""
    if not folder.arguments.is_file():
        arguments = {"command": request.command, "parameters": request.parameters, "run_id": new_run_id(folder)}
        _write(folder.arguments, canonical_json(arguments))
    _check(request, path, folder, compiled)  # again, now that nobody else can begin one
    if not folder.pipeline.exists():
        _write(folder.pipeline, compiled)
    return SweepArguments.read(folder.arguments, "name another --out folder").run_id


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
