"""`bt retrain` on data that grows, against a real MLflow server and a real S3: who is champion after each run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.lm.runner import Runner
from bt_core.program import program_sha256, read_program
from bt_core.records import Row, write_jsonl
from bt_core.steps.engines import load_engine
from bt_core.steps.predict import predict
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining.champion import MODEL
from bt_tracking.retraining.ledger import CONCLUDED_TAG, LEDGER_TAG, ROLES_FILE
from bt_tracking.settings import TrackingSettings
from tests.retrain import toy
from tests.s3 import Server
from tests.tracking.conftest import RestartableServer

pytestmark = pytest.mark.slow

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[2]
TASK = "tests.retrain.toy:task"
NAME = registry_name(TASK)
PREFIX = "s3://data/retrain/daily"


@dataclass(frozen=True)
class Place:
    """A folder to run in, the servers, and the model."""

    folder: Path
    environment: dict[str, str]
    s3: Server
    mlflow: str
    model: Path

    def add(self, name: str, rows: list[Row]) -> None:
        path = self.folder / name
        write_jsonl(path, rows)
        self.s3.client.upload_file(str(path), "data", f"retrain/daily/{name}")

    def bt(self, *arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [str(BT), *map(str, arguments), "--tracking-uri", self.mlflow]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT), CACHE_VARIABLE: ""}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    def retrain(self, out: str) -> dict[str, Any]:
        data = ("--data", PREFIX, "--model", self.model)
        done = self.bt("retrain", "--task", TASK, "--strategy", "p", *data, "--out", out, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    @property
    def client(self) -> RetryingClient:
        return RetryingClient(TrackingSettings(self.mlflow))

    @property
    def aliases(self) -> dict[str, int]:
        found = self.client.get_registered_model(NAME).aliases
        return {alias: int(version) for alias, version in found.items()}


@pytest.fixture(scope="module")
def place(server: RestartableServer, s3: Server, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("retrain"), s3.environment, s3, server.url, tiny_folder)


def test_five_runs_and_a_rollback(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    place.add("2026-11-01.jsonl", toy.batch("a", 60, learnt="red", sealed="red"))
    first = place.retrain("first")
    assert (first["outcome"], first["version"]) == ("promoted", 1)
    assert place.aliases == {"champion": 1, "challenger": 1}
    _check_version(place, first)
    _check_serving(place, monkeypatch)

    place.add("2026-11-02.jsonl", toy.batch("b", 60, learnt="green", sealed="red"))
    second = place.retrain("second")
    assert (second["outcome"], second["version"]) == ("dropped", 2)
    assert second["scores"]["test/champion"] > second["scores"]["test/challenger"]
    assert place.aliases == {"champion": 1, "challenger": 2}
    assert any("champion scores" in warning for warning in second["drift"])
    assert any("`colour`" in warning for warning in second["drift"])

    # Of these twenty rows, fewer than twelve are sealed; the other sealed ones are left over from earlier files.
    place.add("2026-11-03.jsonl", toy.batch("c", 20, learnt="green", sealed="green"))
    third = place.retrain("third")
    assert (third["outcome"], third["version"]) == ("shadow", 3)
    assert third["scores"]["test/challenger"] > third["scores"]["test/champion"]
    assert place.aliases == {"champion": 1, "challenger": 3}

    place.add("2026-11-04.jsonl", toy.batch("d", 60, learnt="red", sealed="green"))
    fourth = place.retrain("fourth")
    assert (fourth["outcome"], fourth["version"]) == ("promoted", 3), "the same challenger, though red is learnt by now"
    assert fourth["program_sha256"] == third["program_sha256"] == program_sha256(place.folder / "fourth" / "program")
    assert (fourth["scores"]["test/nights"], fourth["scores"]["test/challenger"]) == (2.0, 1.0)
    assert place.aliases == {"champion": 3, "challenger": 3, "previous": 1}
    assert place.client.get_model_version(NAME, "3").tags["compared.with"] == "1"

    stopped = place.retrain("fifth")
    assert stopped["outcome"] == "stopped"
    assert "nothing changed, earlier runs have seen all 200 rows" in stopped["reason"]
    assert not (place.folder / "fifth" / "program").exists()
    assert place.aliases == {"champion": 3, "challenger": 3, "previous": 1}

    back = place.bt("rollback", TASK)
    assert "Version 1 of tests.retrain.toy:task is champion again, instead of version 3." in back.stdout
    assert place.aliases == {"champion": 1, "challenger": 3}
    _check_rows(place)
    _check_runs(place)


def _check_version(place: Place, result: dict[str, Any]) -> None:
    """What a version tells of itself."""
    version = place.client.get_model_version(NAME, "1")
    program = place.folder / "first" / "program"
    assert version.tags["program.sha256"] == program_sha256(program) == result["program_sha256"]
    assert version.tags["data"] == PREFIX
    assert len(version.tags["data.sha256"]) == 16
    assert version.tags["outcome"] == "promoted"
    assert version.tags["pipeline.run"].startswith("first-")
    assert version.tags["run.url"].startswith(f"{place.mlflow}/#/experiments/")
    assert json.loads(version.tags["test.score"])["mean"] == result["scores"]["test/challenger"] == 1.0
    assert version.source == f"runs:/{version.run_id}/{MODEL}"


def _check_serving(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion, loaded by MLflow, answers as the program in the run's folder does, to the last digit."""
    from mlflow import pyfunc, set_registry_uri, set_tracking_uri

    set_tracking_uri(place.mlflow)
    set_registry_uri(place.mlflow)
    served = pyfunc.load_model(f"models:/{NAME}@champion")
    set_tracking_uri(None)
    set_registry_uri(None)
    raw = served.get_raw_model()
    assert not [path for path in raw.folder.parents[1].rglob("*") if path.suffix in (".pkl", ".pickle", ".py")]

    program = place.folder / "first" / "program"
    questions = [{"thing": f"thing {number}"} for number in range(4)]
    answers = [predict(program, question, {"task": TASK}) for question in questions]
    assert served.predict(questions) == answers
    assert served.predict(pandas.DataFrame(questions)) == answers
    config = toy.config(place.model)
    rows = [{**question, "colour": "red"} for question in questions]
    runs = [
        Runner(toy.task, config, load_engine(read_program(folder), config), folder).run(read_program(folder), rows)
        for folder in (program, raw.folder)
    ]
    logprobs = [[trace.calls[0].label_logprobs for trace in traces] for traces in runs]
    assert logprobs[0] == logprobs[1]
    assert all(logprobs[0])


def _check_rows(place: Place) -> None:
    """No sealed row of any run was learnt from in any, and none was compared on twice."""
    client = place.client
    learnt: set[str] = set()
    sealed: list[str] = []
    for run in _runs(client, f"tags.`{LEDGER_TAG}` = '{NAME}'"):
        roles = json.loads(Path(client.download_artifacts(run.info.run_id, ROLES_FILE)).read_text(encoding="utf-8"))
        learnt |= {digest for digest, role in roles.items() if role in ("train", "val")}
        if CONCLUDED_TAG in run.data.tags:
            sealed += [digest for digest, role in roles.items() if role == "test"]
    assert len(sealed) == len(set(sealed)) == 48
    assert learnt
    assert not learnt & set(sealed)


def _check_runs(place: Place) -> None:
    """Every stage once a pipeline run, all of them finished, the outcome on the parents."""
    runs = _runs(place.client, "tags.task = 'tests.retrain.toy:task'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = [(run.data.tags["bt.run_id"], run.data.tags["stage"]) for run in runs]
    assert len(keys) == len(set(keys))
    outcomes = sorted(run.data.tags["retrain"] for run in runs if run.data.tags["stage"] == "pipeline")
    assert outcomes == ["dropped", "promoted", "promoted", "shadow", "stopped"]
    steps = [run.data.tags["bt.run_id"] for run in runs if run.data.tags["stage"] == "1.p"]
    assert not [run_id for run_id in steps if run_id.startswith("fourth")], (
        "a challenger in shadow leaves out the steps"
    )


def _runs(client: RetryingClient, wanted: str) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, filter_string=wanted))
