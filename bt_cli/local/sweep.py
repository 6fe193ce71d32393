"""A sweep from its request to its folder; a sweep that was stopped goes on where its answers and adapters end."""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bt_cli.local.run import new_run_id, run_pipeline, surroundings
from bt_cli.options.sweep import SweepRequest
from bt_cli.run_folder import SweepFolder, first_entry
from bt_core.errors import ConfigError
from bt_core.records import canonical_json
from bt_core.statistics import VANILLA
from bt_core.steps.sweep.tree import Place
from bt_core.strategy import format_strategy
from bt_pipelines.compile import compile_sweep
from bt_runner.events import LocalRun
from bt_runtime.tracking import SWEEP


def execute_sweep(
    request: SweepRequest, path: Path, tracking_uri: str | None, cache: bool
) -> tuple[SweepFolder, dict[str, Any]]:
    """Run a sweep on this machine; one that is finished is not run again.

    Args:
        request: what to compare.
        path: the sweep's folder: new, or that of the same sweep, which then goes on.
        tracking_uri: the server that the user named, if any.
        cache: whether the tasks may take LM answers and adapters that were made before.

    Returns:
        The folder and the content of sweep.json.

    Raises:
        ConfigError: when the folder holds something else.
        BtError: the sentence of the task that failed.
    """
    folder, run_id = _open(request, path)
    if not folder.sweep.exists():
        with _alone(folder):
            for left in folder.artifacts.glob("*/"):  # outputs of tasks that an earlier call made
                shutil.rmtree(left)
            environment = surroundings(folder, SWEEP, run_id, tracking_uri, cache)
            _collect(run_pipeline(folder, request.parameters, environment), folder)
    return folder, json.loads(folder.sweep.read_text(encoding="utf-8"))


def _open(request: SweepRequest, path: Path) -> tuple[SweepFolder, str]:
    """The folder with its pipeline compiled, and the pipeline run's id."""
    folder = SweepFolder(path.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        compiled = compile_sweep(request.strategies, request.seeds, Path(scratch) / "pipeline.yaml").read_text("utf-8")
    wanted = {"command": request.command, "parameters": request.parameters}
    first = first_entry(path)
    if first is None:
        folder.path.mkdir(parents=True, exist_ok=True)
        _write(folder.arguments, canonical_json(wanted | {"run_id": new_run_id(folder)}))
    elif not folder.arguments.is_file():
        raise ConfigError(
            f"The --out folder {path} is not empty and no sweep's ({first.name}): name another one, nothing was"
            " written."
        )
    known = _known(folder.arguments)
    is_same = known["parameters"] == wanted["parameters"]
    if not is_same or (folder.pipeline.exists() and folder.pipeline.read_text("utf-8") != compiled):
        other = "other arguments" if not is_same else "another version"
        raise ConfigError(
            f"The --out folder {path} holds a sweep of {other} ({known['command']}): name another one, nothing was"
            " written."
        )
    if not folder.pipeline.exists():
        _write(folder.pipeline, compiled)
    return folder, known["run_id"]


def _known(arguments: Path) -> dict[str, Any]:
    """What the folder's sweep was started with."""
    try:
        content = json.loads(arguments.read_text(encoding="utf-8"))
        return {name: content[name] for name in ("command", "parameters", "run_id")}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{arguments} is no sweep's ({error!r}): name another --out folder.") from None


@contextmanager
def _alone(folder: SweepFolder) -> Iterator[None]:
    """A block that no other process is in with the same folder; the lock ends with the process, however that ends."""
    with folder.arguments.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"The sweep in {folder.path} is being run by another process: wait for it, or end it first."
            ) from None
        yield


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f"{path.name}.partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _collect(done: LocalRun, folder: SweepFolder) -> None:
    """Copy what a person wants out of the tasks' outputs; sweep.json comes last, since it says that all is there."""
    for left in (folder.program, folder.scores(VANILLA, 0).parent):
        shutil.rmtree(left, ignore_errors=True)
    scored = {Place.of(stage): task for stage, task in done.tasks.items() if stage.endswith(".score")}
    for place, task in scored.items():
        target = folder.scores(format_strategy(place.prefix) or VANILLA, place.seed)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(task.artifacts["results"], target)
    made = done.tasks["report-sweep"].artifacts
    sweep = json.loads(made["sweep"].read_text(encoding="utf-8"))
    winner = sweep["winner"]
    best = (winner["arm"], winner["seed"]) if winner else (VANILLA, sweep["seeds"][0])
    shutil.copyfile(folder.scores(*best), folder.results)
    shutil.copytree(made["program"], folder.program)
    shutil.copyfile(made["html"], folder.html)
    shutil.copyfile(made["markdown"], folder.markdown)
    _write(folder.sweep, canonical_json(sweep))
