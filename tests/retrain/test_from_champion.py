"""Retraining from the champion, which is the default: what a challenger takes over, and what becomes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import Config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.models import BaseModel
from bt_core.program import START, Program, program_sha256, read_program
from bt_core.records import Row, read_jsonl, row_id, write_jsonl
from bt_core.steps.handover import best_program
from bt_core.steps.retrain.challenge import DECISION, KEEP, REASON, challenge
from bt_core.steps.retrain.fresh import CHAMPION, fresh
from bt_core.steps.retrain.row_roles import Ledger
from bt_core.strategy import Strategy, strategy_slug
from bt_pipelines.compile import compile_retrain
from bt_runner.events import LocalRun
from bt_runner.run import run_locally
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining import champion
from bt_tracking.retraining.champion import MODEL
from bt_tracking.retraining.ledger import read_ledger
from bt_tracking.serving import PROGRAM
from tests.core import toy as colours
from tests.core.programs import finished
from tests.retrain import toy

ROOT = Path(__file__).parents[2]
TASK = "tests.retrain.toy:task"
NAME = registry_name(TASK)
SETTINGS = {
    "rows": {"train": 8, "val": 6, "test": 24},
    "retrain": {"start": "champion", "min_test": 12},
    "w": {"epochs": 1, "min_traces": 1, "rank": 2},
}


@dataclass(frozen=True)
class Place:
    """A folder of data that grows, a store, and a model."""

    folder: Path
    client: RetryingClient
    model: Path
    patch: pytest.MonkeyPatch

    def add(self, name: str, rows: list[Row]) -> None:
        write_jsonl(self.folder / "data" / f"{name}.jsonl", rows)

    def retrain(self, name: str, strategy: Strategy, **settings: Any) -> LocalRun:
        pipeline = compile_retrain(strategy, self.folder / f"{name}.yaml")
        self.patch.setenv("BT_RUN_ID", name)
        environment = {"BT_STRATEGY": strategy_slug(strategy), "BT_RESPONSE_CACHE": ""}
        config = json.dumps({"model": str(self.model), **SETTINGS, **settings})
        parameters = {"task": TASK, "data": str(self.folder / "data"), "config": config}
        return run_locally(pipeline, self.folder / name, parameters, environment)

    def registered(self, version: int) -> tuple[Program, str]:
        """A version's program, its adapter checked, and its sha256."""
        run_id = self.client.get_model_version(NAME, str(version)).run_id
        target = self.folder / f"version-{version}"
        target.mkdir(exist_ok=True)
        copy = Path(self.client.download_artifacts(run_id, f"{MODEL}/{PROGRAM}", str(target)))
        return read_program(copy, verify=True), program_sha256(copy)

    @property
    def aliases(self) -> dict[str, int]:
        found = self.client.get_registered_model(NAME).aliases
        return {alias: int(version) for alias, version in found.items()}

    def outcome(self, name: str) -> dict[str, str]:
        """The tags of a pipeline run."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        wanted = f"tags.`bt.run_id` = '{name}' and tags.stage = 'pipeline'"
        (run,) = self.client.search_runs(experiments, filter_string=wanted)
        assert run.info.status == "FINISHED"
        return dict(run.data.tags)


@pytest.fixture
def place(store: RetryingClient, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(ROOT)
    return Place(tmp_path, store, tiny_folder, monkeypatch)


@pytest.mark.slow
def test_three_runs_from_the_champion(place: Place) -> None:
    """The first program has an adapter; the second run goes on from it by `p -> w`; the third has too few rows."""
    place.add("2026-11-01", toy.batch("a", 60, learnt="green", sealed="green"))
    first = place.retrain("first", ("w",), select="last")
    assert (first.tasks["fresh-data"].artifacts["champion"] / "champion.json").read_text() == ""
    assert _outcome(first)["outcome"] == "promoted"
    assert place.aliases == {"champion": 1, "challenger": 1}
    incumbent, sha256 = place.registered(1)
    assert [step.kind for step in incumbent.lineage] == ["w"]
    assert incumbent.adapters

    place.add("2026-11-02", toy.batch("b", 60, learnt="red", sealed="red"))
    second = place.retrain("second", ("p", "w"))
    _check_lineage(second, incumbent, sha256)
    _check_challenge(second)
    assert (_outcome(second)["outcome"], _outcome(second)["version"]) == ("promoted", 2)
    assert place.outcome("second")["retrain"] == "promoted"
    assert place.aliases == {"champion": 2, "challenger": 2, "previous": 1}
    tags = place.client.get_model_version(NAME, "2").tags
    assert (tags["compared.with"], tags["outcome"]) == ("1", "promoted")
    challenger, shipped = place.registered(2)
    assert shipped == program_sha256(best_program(second.tasks["2.w"].artifacts["optimised"])) == tags["program.sha256"]
    assert challenger.adapters == incumbent.adapters, "the one that votes by its demonstrations was made by `p`"
    assert champion.fetch_champion(TASK, place.folder / "fetched") is not None
    assert program_sha256(place.folder / "fetched") == shipped

    place.add("2026-11-03", toy.batch("c", 5, learnt="red", sealed="red"))
    third = place.retrain("third", ("p",))
    assert set(third.tasks) == {"fresh-data", "gate", "record-outcome"}
    told = place.outcome("third")
    assert told["retrain"] == "stopped"
    assert "too little is new, 5 of 125 rows and `retrain.min_new` is 20" in told["retrain.reason"]
    assert place.aliases == {"champion": 2, "challenger": 2, "previous": 1}
    _check_rows()


def _outcome(done: LocalRun) -> dict[str, Any]:
    return dict(json.loads(done.tasks["promote"].artifacts["outcome"].read_text(encoding="utf-8")))


def _check_lineage(done: LocalRun, incumbent: Program, sha256: str) -> None:
    """The run starts from the champion; `p` keeps its adapter, `w` trains another one."""
    tasks = done.tasks
    assert tasks["fresh-data"].report.params["start"] == CHAMPION
    assert tasks["fresh-data"].report.params["start_sha256"] == sha256
    folders = [
        tasks["fresh-data"].artifacts["program"],
        *(tasks[step].artifacts["optimised"] for step in ("1.p", "2.w")),
    ]
    begun, searched, tuned = (read_program(folder, verify=True) for folder in folders)
    assert program_sha256(tasks["fresh-data"].artifacts["champion"]) == sha256
    assert begun.lineage[:-1] == incumbent.lineage
    start = begun.lineage[-1]
    assert (start.kind, start.config, start.parent, start.val_after) == (START, {"start": CHAMPION}, sha256, None)
    assert begun.adapters == searched.adapters == incumbent.adapters
    assert tuned.adapters
    assert tuned.adapters != incumbent.adapters
    assert [step.kind for step in tuned.lineage] == ["w", START, "p", "w"]
    assert [step.parent for step in tuned.lineage[2:]] == [program_sha256(folder) for folder in folders[:2]]
    assert searched.steps[0].val_before is not None, "the champion is measured on these rows"


def _check_challenge(done: LocalRun) -> None:
    """Both programs on every fresh sealed row, once."""
    tasks = done.tasks
    sealed = [row_id(row) for row in read_jsonl(tasks["fresh-data"].artifacts["test"] / "test.jsonl")]
    rows = read_jsonl(tasks["challenge"].artifacts["results"])
    assert [row["example"] for row in rows] == sealed
    metrics = tasks["challenge"].report.metrics
    for name in ("champion", "challenger"):
        assert metrics[f"test/{name}"] == pytest.approx(sum(row[name]["score"] for row in rows) / len(rows))
    assert metrics["test/challenger"] == 1.0 > metrics["test/champion"]


def _check_rows() -> None:
    """No sealed row was learnt from, and none was compared on twice."""
    records = read_ledger(TASK)
    assert sorted(record.concluded for record in records) == [False, True, True]
    assert all(record.is_marked == record.concluded for record in records)
    learnt = {digest for record in records for digest, role in record.roles.items() if role in ("train", "val")}
    spent = [
        digest for record in records for digest, role in record.roles.items() if record.concluded and role == "test"
    ]
    assert len(spent) == len(set(spent)) >= 24
    assert not learnt & set(spent)


def test_a_run_that_ends_where_it_began_keeps_the_champion(
    tiny_model: BaseModel, tiny_engine: TransformersEngine, tmp_path: Path
) -> None:
    """Where no step does better, the run's best program is the champion itself under another lineage."""
    task = "tests.core.toy:task"
    write_jsonl(tmp_path / "data" / "1.jsonl", colours.rows())
    splits = {name: tmp_path / f"{name}.jsonl" for name in ("train", "val", "test")}
    overrides = {"task": task, "data": str(tmp_path / "data"), "retrain": {"min_new": 1, "min_test": 1}}

    def begin(holder: Path, start: Path) -> Config:
        config, report = fresh(overrides, Ledger(), holder, splits, start, tmp_path / "rows", tiny_engine)
        assert report.params[REASON] == ""
        return config

    begin(finished(tmp_path, colours.task, task, tiny_model), tmp_path / "champion")
    config = begin(tmp_path / "champion", tmp_path / "start")
    assert [step.kind for step in read_program(tmp_path / "start").lineage[-2:]] == [START, START]
    places = tmp_path / "champion", tmp_path / "start", splits["test"]
    compared = challenge(*places, config, False, "challenge", tmp_path / "results.jsonl", tiny_engine)
    assert compared.params[DECISION] == KEEP
    assert compared.params[REASON].startswith("The challenger equals the champion, which stays, with ")
    assert compared.usage.calls == 2 * len(read_jsonl(splits["test"])), "one program of two modules, asked once"
