"""The real pipeline on the embedded model with few rows; every assertion is on files that the tasks wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import UserError
from bt_core.formats.run_result import RunResult
from bt_core.formats.traces import read_traces
from bt_core.program import program_sha256, read_program
from bt_core.records import read_jsonl, row_id
from bt_core.strategy import Strategy, strategy_slug
from bt_pipelines.compile import compile_strategy
from bt_runner.events import LocalRun
from bt_runner.run import run_locally
from bt_runtime.reports import RUN_ID

ROWS = 6
SETTINGS = {
    "decoding": {"calibration": "none"},
    "p": {"candidates": 1, "max_demos": 2},
    "w": {"epochs": 1, "min_traces": 1, "rank": 2},
    "select": "last",
}
PARAMETERS = {"task": "iris", "seed": 3, "train_rows": ROWS, "val_rows": ROWS, "test_rows": ROWS}


@dataclass(frozen=True)
class Arms:
    """`p -> w`, and after it `p` with the same cache, both tracked in one MLflow store."""

    long: LocalRun
    short: LocalRun
    store: str

    @property
    def result(self) -> dict[str, Any]:
        return RunResult.read(self.long.tasks["evaluate"].artifacts["results"] / "result.json").content()


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Arms:
    folder = tmp_path_factory.mktemp("end_to_end")
    store = f"sqlite:///{folder / 'mlflow.db'}"

    def run(strategy: Strategy) -> LocalRun:
        slug = strategy_slug(strategy)
        return run_locally(
            compile_strategy(strategy, folder / f"{slug}.yaml"),
            folder / slug,
            PARAMETERS | {"config": json.dumps(SETTINGS)},
            {"MLFLOW_TRACKING_URI": store, "BT_RUN_ID": slug, "BT_STRATEGY": slug},
            cache=folder / "cache",
        )

    return Arms(run(("p", "w")), run(("p",)), store)


@pytest.mark.slow
class TestArms:
    """Two arms that share their first step."""

    def test_every_task_ran_in_order(self, arms: Arms) -> None:
        labels = list(arms.long.tasks)
        assert labels == ["prepare-data", "1.bootstrap", "1.p", "2.bootstrap", "2.w", "evaluate"]
        assert all(path.exists() for task in arms.long.tasks.values() for path in task.artifacts.values())

    def test_the_settings_reach_the_steps(self, arms: Arms) -> None:
        config = json.loads((arms.long.tasks["prepare-data"].artifacts["rows"] / "config.json").read_text())
        assert config["rows"] == {"train": ROWS, "val": ROWS, "test": ROWS}
        assert config["seed"] == 3
        assert config["w"]["rank"] == 2
        adapter = next((arms.long.tasks["2.w"].artifacts["optimised"]).rglob("adapter_config.json"))
        assert json.loads(adapter.read_text(encoding="utf-8"))["r"] == 2

    def test_the_splits_share_no_row(self, arms: Arms) -> None:
        artifacts = arms.long.tasks["prepare-data"].artifacts
        files = [artifacts["rows"] / "train.jsonl", artifacts["rows"] / "val.jsonl", artifacts["test"] / "test.jsonl"]
        splits = [{row_id(row) for row in read_jsonl(file)} for file in files]
        assert [len(split) for split in splits] == [ROWS] * 3
        assert len(set.union(*splits)) == 3 * ROWS

    def test_every_train_example_has_a_trace(self, arms: Arms) -> None:
        train = {row_id(row) for row in read_jsonl(arms.long.tasks["prepare-data"].artifacts["rows"] / "train.jsonl")}
        for label in ("1.bootstrap", "2.bootstrap"):
            traces = read_traces(arms.long.tasks[label].artifacts["traces"] / "traces.jsonl")
            assert {trace.example for trace in traces} == train

    def test_programs_name_their_origin(self, arms: Arms) -> None:
        tasks = arms.long.tasks
        vanilla = tasks["prepare-data"].artifacts["program"]
        first, second = tasks["1.p"].artifacts["optimised"], tasks["2.w"].artifacts["optimised"]
        assert not read_program(vanilla).lineage
        assert [step.parent for step in read_program(second).lineage] == [
            program_sha256(vanilla),
            program_sha256(first),
        ]
        assert [step.kind for step in read_program(second).lineage] == ["p", "w"]
        assert not read_program(first).adapters
        assert read_program(second).adapters, "the weights changed"

    def test_the_last_program_is_shipped_since_the_settings_say_so(self, arms: Arms) -> None:
        tasks = arms.long.tasks
        shipped = program_sha256(tasks["evaluate"].artifacts["results"] / "program")
        assert shipped == program_sha256(tasks["2.w"].artifacts["optimised"])
        assert shipped in json.dumps(arms.result)

    def test_the_results_are_those_of_the_test_rows(self, arms: Arms) -> None:
        test = [row_id(row) for row in read_jsonl(arms.long.tasks["prepare-data"].artifacts["test"] / "test.jsonl")]
        results = read_jsonl(arms.long.tasks["evaluate"].artifacts["results"] / "results.jsonl")
        assert [row["example"] for row in results] == test
        metrics = json.loads(arms.long.tasks["evaluate"].artifacts["metrics"].read_text(encoding="utf-8"))
        for name in ("vanilla", "final"):
            assert metrics[f"test/{name}"] == pytest.approx(sum(row[name]["score"] for row in results) / ROWS)

    def test_the_result_file_describes_the_run(self, arms: Arms) -> None:
        assert arms.result["strategy"] == "p -> w"
        assert arms.result["task"] == "iris"
        assert arms.result["seed"] == 3
        reports = [report for task in arms.long.tasks.values() for report in task.reports]
        ids = {report.stage: report.params[RUN_ID] for report in reports}
        assert all(ids.values())
        assert ids.pop("register")
        assert ids == arms.result["mlflow"]

    def test_shared_prefixes_run_once(self, arms: Arms) -> None:
        cached = {label for label, task in arms.short.tasks.items() if task.cached}
        assert cached == {"prepare-data", "1.bootstrap", "1.p"}
        assert arms.short.tasks["1.p"].artifacts == arms.long.tasks["1.p"].artifacts

    def test_mlflow_holds_both_runs_with_their_stages(self, arms: Arms) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=arms.store, registry_uri=arms.store)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments)
        parents = {run.data.tags["strategy"]: run for run in runs if run.data.tags.get("kind") == "pipeline"}
        assert parents.keys() == {"p", "p -> w"}
        assert all(run.info.status == "FINISHED" for run in runs)
        for strategy, run in (("p", arms.short), ("p -> w", arms.long)):
            measured = run.tasks["evaluate"].reports[0].metrics["test/final"]
            assert parents[strategy].data.metrics["test/final"] == pytest.approx(measured)
        stages = [run.data.tags["stage"] for run in runs if run.data.tags.get("kind") != "pipeline"]
        long = sum(len(task.reports) for task in arms.long.tasks.values())
        assert len(stages) == long + 2, "the short arm recorded its evaluation and its summary"
        assert client.search_model_versions("name = 'bt-iris'")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"task": "no_such_task"}, "The task `no_such_task` was not found"),
        ({"task": "iris", "config": '{"w": {"rank": 0}}'}, r"`w\.rank` is 0"),
        ({"task": "iris", "config": "{"}, "The parameter `config` is broken JSON"),
        ({"task": "iris", "data": "/no/such/file.jsonl"}, r"/no/such/file\.jsonl does not exist"),
        ({}, "`task` is missing"),
    ],
)
def test_a_users_mistake_is_one_sentence(tmp_path: Path, parameters: dict[str, Any], complaint: str) -> None:
    pipeline = compile_strategy(("p",), tmp_path / "p.yaml")
    with pytest.raises(UserError, match=complaint) as caught:
        run_locally(pipeline, tmp_path / "root", parameters)
    assert "\n" not in str(caught.value)
