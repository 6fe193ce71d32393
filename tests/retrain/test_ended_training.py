"""A weight step whose process is ended, at the moments that only it has: it goes on, and makes the same adapter."""

import json
from pathlib import Path
from typing import Any

import pytest

from bt_core.program import program_sha256, read_program
from bt_core.records import write_jsonl
from bt_core.steps.folders import RowsFolder, TracesFolder
from bt_core.steps.optimise.lora_finetune import lora_finetune
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain
from bt_pipelines.pods.pod_settings import PodSettings, Retries
from bt_pipelines.pods.profile import Profile
from bt_runner.events import LocalRun
from bt_runner.run import run_locally
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining.champion import MODEL
from bt_tracking.serving import PROGRAM
from tests.retrain import toy

ROOT = Path(__file__).parents[2]
TASK = "tests.retrain.mortal:task"
SETTINGS = {
    "bootstrap": {"threshold": 0.0},  # all eight traces pass: seven to learn from, four steps an epoch
    "w": {"epochs": 2, "batch_size": 2, "rank": 2, "dropout": 0.1},
    "select": "last",
}
STEPS = [f"step {number}" for number in range(1, 9)]


@pytest.mark.slow
def test_a_training_that_is_ended_goes_on_and_makes_the_same_adapter(
    store: RetryingClient, tiny_folder: Path, tmp_path: Path, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    marks = tmp_path / "marks"
    marks.touch()
    write_jsonl(tmp_path / "data" / "2026-11.jsonl", toy.batch("a", 60, learnt="red", sealed="red"))
    once_more = PodSettings(retries=Retries(count=5, backoff=1, factor=1))
    options = Options(profile=Profile(component_defaults=False, stages={"lora_finetune": once_more}))
    pipeline = compile_retrain(("w",), tmp_path / "retrain.yaml", options)
    config = json.dumps({"model": str(tiny_folder), **SETTINGS})
    parameters = {"task": TASK, "data": str(tmp_path / "data"), "config": config}
    surroundings = {"BT_STRATEGY": "w", "BT_RESPONSE_CACHE": str(tmp_path / "cache"), "TEST_MARKS": str(marks)}
    done = run_locally(pipeline, tmp_path / "root", parameters, surroundings)

    assert marks.read_text().splitlines() == [
        *STEPS[:6],
        "SIGTERM step",
        *STEPS[4:],  # from the checkpoint at the end of the first epoch
        "SIGKILL adapter",
        # Nothing is left to train: the last checkpoint is that of the last step.
        "SIGTERM cache",
        *STEPS,  # the checkpoints of a training that is done are removed, and its adapter is not in the cache
        "SIGTERM program",
    ]
    shipped = done.tasks["1.w"].artifacts["optimised"]
    assert read_program(shipped, verify=True).adapters
    assert program_sha256(_undisturbed(done, tmp_path, monkeypatch)) == program_sha256(shipped)
    assert not [path for path in shipped.parent.iterdir() if path.name.startswith("optimised.")]
    _check_registry(store, shipped, tmp_path)
    _check_runs(store, environment)


def _undisturbed(done: LocalRun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same step on the same inputs, without a cache, in this process."""
    monkeypatch.delenv("BT_RESPONSE_CACHE", raising=False)
    begun = done.tasks["fresh-data"]
    rows, traces = (
        RowsFolder(begun.artifacts["rows"]),
        TracesFolder(done.tasks["1.bootstrap"].artifacts["traces"]),
    )
    inputs = begun.artifacts["program"], traces.traces, rows.train, rows.val
    lora_finetune(*inputs, rows.config, "1.w", folder / "undisturbed")
    return folder / "undisturbed"


def _check_registry(store: RetryingClient, shipped: Path, folder: Path) -> None:
    """One version, the champion, whose adapter is whole."""
    name = registry_name(TASK)
    assert len(store.search_model_versions(f"name = '{name}'")) == 1
    version = store.get_model_version_by_alias(name, "champion")
    copy = Path(store.download_artifacts(version.run_id, f"{MODEL}/{PROGRAM}", str(folder)))
    assert read_program(copy, verify=True) == read_program(shipped)


def _check_runs(store: RetryingClient, environment: str) -> None:
    """Every stage once, and finished."""
    experiments: list[Any] = [experiment.experiment_id for experiment in store.search_experiments()]
    runs = store.search_runs(experiments, filter_string=f"tags.`bt.run_id` = '{environment}'")
    stages = [run.data.tags["stage"] for run in runs]
    assert sorted(stages) == sorted(["pipeline", "fresh", "drift", "1.bootstrap", "1.w", "challenge", "promote"])
    assert {run.info.status for run in runs} == {"FINISHED"}
