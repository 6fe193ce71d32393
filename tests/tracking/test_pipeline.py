"""The parent run: its life, its children, adoption of the orchestrator's runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

import bt_tracking
from bt_core.config import resolve_config
from bt_core.errors import TrackingError
from bt_core.records import StageReport
from bt_tracking.connection import RetryingClient
from bt_tracking.runs import find_or_create

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]
CONFIG = resolve_config({"task": "continents", "seed": 3, "w": {"rank": 4}})


def test_parent_and_children(store: RetryingClient, report: StageReport, family: Family) -> None:
    parent_id = bt_tracking.start_parent(CONFIG, "p -> w", note="Running.", started=1_700_000_000.0)
    bt_tracking.record(report, {})
    steps = {"val/score": [(0, 0.25), (1, 0.5)]}
    assert (
        bt_tracking.finish_parent(
            {"test/final": 0.5}, steps, note="**Verdict**", tags={"program.sha256": "ef"}, ended=1_700_000_090.0
        )
        == parent_id
    )
    (parent,), children = family(store)
    assert parent.info.run_name == "continents: p -> w (seed 3)"
    assert (parent.info.status, parent.info.start_time, parent.info.end_time) == (
        "FINISHED",
        1_700_000_000_000,
        1_700_000_090_000,
    )
    assert parent.data.params["config/model"] == CONFIG.model
    assert parent.data.params["w/rank"] == "4"
    assert parent.data.metrics == {"test/final": 0.5, "val/score": 0.5}
    assert parent.data.tags["mlflow.note.content"] == "**Verdict**"
    tags = children["2.w"].data.tags
    assert tags["mlflow.parentRunId"] == parent_id
    assert (tags["task"], tags["strategy"], tags["seed"]) == ("continents", "p -> w", "3")


def test_a_stage_may_belong_to_another_arm(store: RetryingClient, report: StageReport, family: Family) -> None:
    bt_tracking.start_parent(CONFIG, "p -> w")
    bt_tracking.record(report, {}, tags={"strategy": "p"})
    assert family(store)[1]["2.w"].data.tags["strategy"] == "p"


def test_the_parent_is_completed_when_a_stage_came_first(
    store: RetryingClient, report: StageReport, family: Family
) -> None:
    bt_tracking.record(report, {})
    bt_tracking.start_parent(CONFIG, "w")
    (parent,), _ = family(store)
    assert parent.info.run_name == "continents: w (seed 3)"
    assert parent.info.status == "RUNNING"


def test_a_failure_is_on_the_parent(store: RetryingClient, family: Family) -> None:
    bt_tracking.start_parent(CONFIG, "p", note="Running.")
    bt_tracking.fail_parent("The loss is not a number.")
    (parent,), _ = family(store)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["mlflow.note.content"] == "**Failed:** The loss is not a number.\n\nRunning."
    bt_tracking.start_parent(CONFIG, "p")
    assert store.get_run(parent.info.run_id).info.status == "RUNNING"


def test_nothing_names_the_pipeline_run(store: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BT_RUN_ID")
    assert bt_tracking.start_parent(CONFIG, "p") is None
    assert bt_tracking.fail_parent("It broke.") is None


def test_the_cluster_names_the_pipeline_run(store: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "from-the-cluster")
    parent_id = bt_tracking.start_parent(CONFIG, "p")
    assert store.get_run(parent_id).data.tags["bt.run_id"] == "from-the-cluster"


def test_the_orchestrators_run_is_adopted(
    store: RetryingClient, report: StageReport, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = store.create_experiment("the-cluster's")
    above = store.create_run(experiment, run_name="made by KFP").info.run_id
    task = store.create_run(experiment, run_name="task", tags={"mlflow.parentRunId": above}).info.run_id
    store.log_param(task, "w/rank", "16")
    store.log_param(task, "w/learning_rate", "another value")
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)

    assert bt_tracking.start_parent(CONFIG, "w -> p") == above
    assert bt_tracking.record(report, {}) == task
    assert bt_tracking.finish_parent({"test/final": 0.5}) == above

    run, parent = store.get_run(task), store.get_run(above)
    assert (run.info.run_name, run.info.status) == ("task", "RUNNING")
    assert (parent.info.run_name, parent.info.status) == ("made by KFP", "RUNNING")
    assert (run.data.tags["strategy"], run.data.tags["stage"]) == ("w -> p", "2.w")
    assert run.data.params["w/learning_rate"] == "another value"
    assert run.data.params["w/modules"] == '["q", "k"]'
    assert parent.data.metrics == {"test/final": 0.5}
    assert family(store) == ([], {})
    assert len(store.search_runs([experiment])) == 2
    assert store.get_experiment_by_name("bettertogether") is None


def test_stages_of_one_task_get_runs_under_the_adopted_one(
    store: RetryingClient, report: StageReport, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = store.create_experiment("the-cluster's")
    above = store.create_run(experiment, run_name="made by KFP").info.run_id
    task = store.create_run(experiment, run_name="task", tags={"mlflow.parentRunId": above}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    assert bt_tracking.start_parent(CONFIG, "p -> w") == above

    first = bt_tracking.record(replace(report, stage="1.w"), {}, nested=True)
    second = bt_tracking.record(report, {}, nested=True)
    assert bt_tracking.record(report, {}, nested=True) == second, "tried again"
    assert len({task, first, second}) == 3
    for run_id, stage in ((first, "1.w"), (second, "2.w")):
        run = store.get_run(run_id)
        assert (run.data.tags["stage"], run.info.status, run.info.experiment_id) == (stage, "FINISHED", experiment)
        assert (run.data.tags["mlflow.parentRunId"], run.data.tags["bt.run_id"]) == (task, environment)
        assert run.data.tags["strategy"] == "p -> w"
    assert "stage" not in store.get_run(task).data.tags


@pytest.fixture
def tree(store: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The runs that Kubeflow's plugin makes of a retraining: name -> id. This process is the task `evaluate`."""
    experiment = store.create_experiment("the-cluster's")
    made: dict[str, str] = {}
    levels = {"retrain": "", "exit-handler-1": "retrain", "fresh-data": "exit-handler-1"}
    levels |= {"condition-1": "exit-handler-1", "evaluate": "condition-1", "record-outcome": "retrain"}
    for name, above in levels.items():
        tags = {"mlflow.parentRunId": made[above]} if above else {}
        made[name] = store.create_run(experiment, run_name=name, tags=tags).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made["evaluate"])
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return made


def test_the_pipeline_run_is_the_topmost_one(
    store: RetryingClient, report: StageReport, tree: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bt_tracking.start_parent(CONFIG, "p -> w") == tree["retrain"]
    assert bt_tracking.record(report, {}) == tree["evaluate"]
    nested = bt_tracking.record(replace(report, stage="1.p"), {}, nested=True)
    assert nested is not None
    root, group = store.get_run(tree["retrain"]).data, store.get_run(tree["exit-handler-1"]).data
    ours = {"task": "continents", "strategy": "p -> w", "seed": "3"}
    assert ours.items() <= root.tags.items()
    assert root.params["w/rank"] == "4"
    assert (group.params, "strategy" in group.tags, "kind" in group.tags) == ({}, False, False)
    for run_id in (tree["evaluate"], nested):
        assert ours.items() <= store.get_run(run_id).data.tags.items()
    assert store.get_run(nested).data.tags["mlflow.parentRunId"] == tree["evaluate"]
    monkeypatch.setenv("MLFLOW_RUN_ID", tree["record-outcome"])
    assert bt_tracking.fail_parent("A task failed.") == tree["retrain"]


def test_tasks_from_the_orchestrators_cache_get_the_tags_of_their_pipeline_run(
    store: RetryingClient, report: StageReport, tree: dict[str, str]
) -> None:
    """Nothing of ours ran in them, such as the first task of a run whose data is known."""
    bt_tracking.start_parent(CONFIG, "p -> w")
    bt_tracking.record(report, {}, tags={"strategy": "p"})
    assert bt_tracking.finish_parent({"test/final": 0.5}) == tree["retrain"]
    assert store.get_run(tree["retrain"]).data.metrics == {"test/final": 0.5}
    found = {name: store.get_run(run_id).data.tags for name, run_id in tree.items()}
    assert {tags["task"] for tags in found.values()} == {"continents"}
    assert {name: tags["strategy"] for name, tags in found.items() if tags["strategy"] != "p -> w"} == {"evaluate": "p"}
    assert [name for name, tags in found.items() if "stage" in tags] == ["evaluate"]


def test_an_adopted_run_may_have_no_parent(
    store: RetryingClient, report: StageReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = store.create_run(store.create_experiment("alone")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    assert bt_tracking.start_parent(CONFIG, "p") is None
    assert bt_tracking.record(report, {}) == task


def test_the_experiment_keeps_its_artifacts_beside_the_database(
    store: RetryingClient, report: StageReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    bt_tracking.record(report, {"report.txt": _file(tmp_path)})
    experiment = store.get_experiment_by_name("mine")
    assert experiment.artifact_location == (tmp_path / "store" / "artifacts").as_uri()
    assert [path.name for path in (tmp_path / "store" / "artifacts").rglob("report.txt")] == ["report.txt"]


def test_a_deleted_experiment_is_the_users_to_restore(
    store: RetryingClient, report: StageReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "gone")
    store.delete_experiment(store.create_experiment("gone"))
    with pytest.raises(TrackingError, match=r"`gone` .* was deleted: restore it, or name another one"):
        bt_tracking.record(report, {})


@pytest.mark.parametrize(
    ("view", "kind", "column"),
    [("strategies", "pipeline", "metrics.`test/difference`"), ("arms", "score", "metrics.`test/score`")],
)
def test_views_are_saved_with_the_experiment(
    view: Literal["strategies", "arms"], kind: str, column: str, store: RetryingClient
) -> None:
    experiment = bt_tracking.open_experiment(store.settings.uri)
    assert bt_tracking.open_experiment(store.settings.uri) == experiment
    url = bt_tracking.comparison_url("https://me:secret@mlflow.example/", experiment, view)
    page, key = url.split("viewStateShareKey=")
    assert page == f"https://mlflow.example/#/experiments/{experiment}/runs?workflowType=machine_learning&"
    view = json.loads(store.get_experiment(experiment).tags[f"mlflow.sharedViewState.{key}"])
    state = json.loads(view["state"])
    assert state["searchFilter"] == f"tags.kind = '{kind}'"
    assert column in state["selectedColumns"]
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "strategy"}]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bt_tracking.runs._POLL_SECONDS", 0.01)


@pytest.mark.usefixtures("_impatient")
def test_a_run_whose_creator_died_is_taken_over(store: RetryingClient) -> None:
    experiment = store.create_experiment("race")
    orphan = store.create_run(experiment, tags={"bt.run_id": "x"}, start_time=5).info.run_id
    found = find_or_create(store, experiment, {"bt.run_id": "x"}, "pipeline", name="n", start_ms=9, tags={})
    assert found.info.run_id == orphan
    assert store.get_run(orphan).data.tags["kind"] == "pipeline"


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("moment", ["before it looks", "before it settles"])
@pytest.mark.parametrize("clock", [1, 9], ids=["slow clock", "fast clock"])
def test_two_creators_agree_whatever_their_clocks(store: RetryingClient, moment: str, clock: int) -> None:
    """The second creator runs to its end inside the first one, at the worst moments."""
    experiment = store.create_experiment("race")
    key = {"bt.run_id": "x"}
    others: list[str] = []

    def find(client: Any, start_ms: int) -> str:
        run = find_or_create(client, experiment, key, "pipeline", name="n", start_ms=start_ms, tags={})
        return str(run.info.run_id)

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            step = "search_runs" if moment == "before it looks" else "set_tag"
            if name == step and store.search_runs([experiment]) and not others:
                others.append("running")
                others[0] = _second(store, experiment, clock)
            return getattr(store, name)

    first = find(Interrupted(), 5)
    assert others == [first]
    assert [run.info.run_id for run in store.search_runs([experiment])] == [first]


def _second(store: RetryingClient, experiment: str, clock: int) -> str:
    """A creator that saw no run at its first look, as the first one did."""

    class Blind:
        looks = 0

        def __getattr__(self, name: str) -> Any:
            if name == "search_runs":
                self.looks += 1
                if self.looks == 1:
                    return lambda *_, **__: []
            return getattr(store, name)

    blind: Any = Blind()
    run = find_or_create(blind, experiment, {"bt.run_id": "x"}, "pipeline", name="n", start_ms=clock, tags={})
    return str(run.info.run_id)


def _file(folder: Path) -> Path:
    path = folder / "report.txt"
    path.write_text("content")
    return path
