"""A strategy in one pod: how it is compiled, and that it writes what separate pods write."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from mlflow import MlflowClient

from bt_cli.local.run import collect
from bt_cli.run_folder import RunFolder
from bt_core.errors import ConfigError
from bt_core.formats.run_result import RunResult
from bt_core.steps.handover import REPORTS
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain, compile_strategy, compile_sweep
from bt_pipelines.pods.profile import Profile
from bt_runner.events import LocalRun
from bt_runner.run import run_locally
from bt_runtime.reports import RUN_ID, read_report
from tests.core.conftest import embedded_model, tiny_folder
from tests.pipelines.compiled import OPTIONS, documents, read, sources, tasks

__all__ = ["embedded_model", "tiny_folder"]

FUSED = replace(OPTIONS, fuse=True)
STRATEGY = ("p", "w", "p")
SETTINGS = {
    "engine": {"device": "cpu"},
    "decoding": {"calibration": "train"},
    "p": {"candidates": 1},
    "w": {"epochs": 1, "min_traces": 1, "rank": 2, "learning_rate": 0.05},
    "select": "last",
}
PARAMETERS = {"task": "tests.core.toy:task", "train_rows": 9, "val_rows": 6, "test_rows": 6}


def test_all_steps_are_one_task_and_the_names_say_so(tmp_path: Path) -> None:
    pipeline, platform = documents(STRATEGY, tmp_path, replace(FUSED, gpus=1))
    json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())

    assert tasks(pipeline).keys() == {"prepare-data", "optimise", "evaluate"}
    assert tasks(pipeline)["optimise"]["taskInfo"]["name"] == "p -> w -> p in one pod"
    assert "LoRA fine-tuning) in one pod and tests it once" in pipeline["pipelineInfo"]["description"]
    given = {name: ("prepare-data", name) for name in ("program", "rows")}
    assert sources(pipeline, "optimise") == given, "and never the test split"
    assert sources(pipeline, "evaluate")["program"] == ("optimise", "optimised")
    containers = {name: one["container"] for name, one in pipeline["deploymentSpec"]["executors"].items()}
    assert {name for name, one in containers.items() if "resources" in one} == {"exec-optimise", "exec-evaluate"}
    config = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-optimise"]
    assert config["podMetadata"]["labels"] == {"bettertogether/strategy": "p-w-p"}


def test_a_profile_may_ask_for_it(tmp_path: Path) -> None:
    profile = replace(OPTIONS, profile=Profile(component_defaults=False, fuse=True))
    asked = compile_strategy(STRATEGY, tmp_path / "asked.yaml", profile)
    assert asked.read_bytes() == compile_strategy(STRATEGY, tmp_path / "fused.yaml", FUSED).read_bytes()
    pipeline, _ = documents(STRATEGY, tmp_path, replace(FUSED, profile=Profile()))
    asks = pipeline["deploymentSpec"]["executors"]["exec-optimise"]["container"]["resources"]
    assert asks["resourceMemoryRequest"] == "8Gi", "by its metadata.yaml"


def test_a_retraining_makes_its_challenger_in_one_pod(tmp_path: Path) -> None:
    pipeline, _ = read(compile_retrain(("p", "w"), tmp_path / "retrain.yaml", FUSED))
    behind = next(part["dag"]["tasks"] for part in pipeline["components"].values() if "promote" in str(part.get("dag")))
    assert {"optimise", "challenge-champion", "promote"} <= behind.keys()
    assert not {"prompt-search", "lora-finetune", "bootstrap-traces"} & behind.keys()
    assert " in one pod from the newest data" in pipeline["pipelineInfo"]["description"]


@pytest.mark.parametrize("options", [FUSED, replace(OPTIONS, profile=Profile(fuse=True))], ids=["option", "profile"])
def test_a_sweep_is_not_fused(options: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^A sweep cannot be fused, since its strategies share their first steps: "):
        compile_sweep([("p",)], [0], tmp_path / "sweep.yaml", options)


def test_fused_shards_are_refused() -> None:
    with pytest.raises(ConfigError, match="`shards` spreads them over several: choose one"):
        Options(fuse=True, shards=3)


@dataclass(frozen=True)
class Runs:
    """The same strategy in pods of their own and in one, tracked in one MLflow store."""

    apart: LocalRun
    fused: LocalRun
    store: str

    def children(self, run: str) -> dict[str, Any]:
        """What MLflow holds of each stage, without the times and names of this machine and run."""
        client = MlflowClient(tracking_uri=self.store, registry_uri=self.store)
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(experiments, f"tags.`bt.run_id` = '{run}'")
        parent = next(one.info.run_id for one in found if one.data.tags["kind"] == "pipeline")
        return {
            one.data.tags["stage"]: {
                "under": one.data.tags.get("mlflow.parentRunId") == parent,
                "metrics": {name: value for name, value in one.data.metrics.items() if not name.endswith("seconds")},
                "params": one.data.params,
                "tags": {name: value for name, value in one.data.tags.items() if _lasting(name)},
                "data": sorted(f"{used.dataset.name} {used.dataset.digest}" for used in one.inputs.dataset_inputs),
                "files": sorted(file.path for file in client.list_artifacts(one.info.run_id)),
                "status": one.info.status,
            }
            for one in found
        }


def _lasting(tag: str) -> bool:
    return tag not in ("bt.run_id", "mlflow.parentRunId", "mlflow.note.content") and not tag.startswith("mlflow.source")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Runs:
    folder = tmp_path_factory.mktemp("fuse")
    store = f"sqlite:///{folder / 'mlflow.db'}"

    def run(name: str, options: Options) -> LocalRun:
        parameters = PARAMETERS | {"model": str(tiny_folder), "config": json.dumps(SETTINGS)}
        environment = {"MLFLOW_TRACKING_URI": store, "BT_RUN_ID": name, "BT_STRATEGY": "p-w-p", "BT_RESPONSE_CACHE": ""}
        compiled = compile_strategy(STRATEGY, folder / f"{name}.yaml", options)
        return run_locally(compiled, folder / name, parameters, environment)

    return Runs(run("apart", OPTIONS), run("fused", FUSED), store)


@pytest.mark.slow
class TestRuns:
    """Two runs on the tiny model."""

    def test_every_file_is_the_same(self, runs: Runs) -> None:
        last = _bytes(runs.fused.tasks["optimise"].artifacts["optimised"])
        assert last == _bytes(runs.apart.tasks["3.p"].artifacts["optimised"])
        assert "adapter/adapter_model.safetensors" in last
        stages = runs.fused.tasks["optimise"].artifacts["stages"]
        assert sorted(path.name for path in stages.iterdir()) == sorted(
            label for label in runs.apart.tasks if label[0].isdigit()
        )
        for path in stages.iterdir():
            made = runs.apart.tasks[path.name].artifacts
            written = made["traces"] / "traces.jsonl" if path.name.endswith("bootstrap") else made["optimised"]
            assert _bytes(path) == _bytes(written)

    def test_the_program_is_that_of_a_run(self, runs: Runs, tmp_path: Path) -> None:
        result = collect(runs.fused, RunFolder(tmp_path))
        assert _bytes(tmp_path / "program") == _bytes(runs.apart.tasks["evaluate"].artifacts["results"] / "program")
        assert result.program == str(tmp_path / "program")

    def test_the_result_is_the_same_except_times_and_names(self, runs: Runs) -> None:
        apart, fused = (
            RunResult.read(run.tasks["evaluate"].artifacts["results"] / "result.json").content() for run in _both(runs)
        )
        assert apart["mlflow"].keys() == fused["mlflow"].keys()
        assert all(fused["mlflow"].values())
        for result in (apart, fused):
            for name in ("seconds", "program", "mlflow"):
                del result[name]
            for step in result["steps"]:
                assert step.pop("seconds") > 0.0
        assert fused == apart

    def test_mlflow_holds_the_same_stages(self, runs: Runs) -> None:
        apart, fused = runs.children("apart"), runs.children("fused")
        assert len(apart) == 10
        assert fused == apart

    def test_the_task_reports_all_its_stages(self, runs: Runs) -> None:
        task = runs.fused.tasks["optimise"]
        labels = [f"{n}.{stage}" for n, kind in enumerate(STRATEGY, start=1) for stage in ("bootstrap", kind)]
        assert [report.stage for report in task.reports] == labels
        assert all(report.params[RUN_ID] for report in task.reports)
        shown = json.loads(task.artifacts["metrics"].read_text(encoding="utf-8"))
        report = read_report(runs.apart.tasks["2.w"].parameters["Output"])
        assert shown["2.w/val/score"] == report.metrics["val/score"]


def _both(runs: Runs) -> tuple[LocalRun, LocalRun]:
    return runs.apart, runs.fused


def _bytes(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in files
        if file.is_file() and file.name != REPORTS  # times and run ids
    }
