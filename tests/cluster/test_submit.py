"""`bt submit` and `bt runs`: start a run, wait for it, list what ran."""

import json
from pathlib import Path

import pytest

from bt_cluster.api import Api
from bt_cluster.connection import HOST, Connection
from bt_cluster.follow import Followed
from bt_core.errors import WorldError
from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer, Fault


def test_a_run_of_a_file(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = bt("submit", package, "--param", "seed=3", "--param", "task=iris", "--name", "first")
    (run,) = server.state.runs.values()
    assert (ended.status, ended.out) == (0, f"{server.url}/#/runs/details/{run.run_id}\n")
    assert ended.err == "Started the run first.\n"
    assert run.runtime_config.parameters == {"seed": 3, "task": "iris"}
    assert server.state.versions[run.pipeline_version_reference.pipeline_version_id].name.startswith("p-w-")
    assert server.state.experiments[run.experiment_id].display_name == "better-together"
    (sent,) = server.sent("POST", "/runs")
    assert "service_account" not in sent.json


def test_a_run_of_what_is_there(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("upload", package)
    bt("upload", "--strategy", "p")
    assert bt("submit", "--service-account", "trainer").status == 0
    older = next(one.name for one in server.state.versions.values() if one.name.startswith("p-w-"))
    assert bt("submit", "--version", older).status == 0
    named = [
        server.state.versions[one.pipeline_version_reference.pipeline_version_id] for one in server.state.runs.values()
    ]
    assert [one.name.rpartition("-")[0] for one in named] == ["p", "p-w"], "the newest, then the one that was named"
    assert [one.service_account for one in server.state.runs.values()] == ["trainer", "pipeline-runner"]
    assert len(server.state.experiments) == 1


def test_waiting_for_the_end(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault("GET", "/runs/", status=503, times=1))
    server.faults.append(Fault("GET", "/runs/", cut="before", times=1))
    ended = bt("submit", package, "--wait", "--name", "mine")
    assert ended.status == 0
    assert ended.err.endswith("The run mine has succeeded.\n")


def test_waiting_goes_on_over_an_outage_and_not_without_end(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault("GET", "/runs/", status=500, times=3))
    assert bt("submit", package, "--wait").status == 0
    api = Api(Connection.find(environment={HOST: server.url}))
    (run,) = server.state.runs
    server.faults.append(Fault("GET", "/runs/", status=500))
    with pytest.raises(WorldError, match=r"failed to show the run .* \(500"):
        list(Followed(run, "p", {}).follow(api, patience=0.0))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pipeline", "other"], "has no pipeline `other`: upload it with `bt upload`"),
        (["--version", "p-1"], "The pipeline `better-together` has no version `p-1`"),
        (["--param", "sed=1"], "`sed=1` names no parameter (config, data, model, seed, task, "),
        (["--param", "seed=one", "--param", "model"], "`seed=one` is no whole number; `model` names no parameter"),
    ],
    ids=["pipeline", "version", "parameter", "two-mistakes"],
)
def test_bad_input(arguments: list[str], sentence: str, server: ApiServer, bt: Bt, package: Path) -> None:
    bt("upload", package)
    ended = bt("submit", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.sentence
    assert not server.state.runs


def test_names_that_are_too_long(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = bt("submit", package, "--name", "x" * 300)
    assert (ended.status, ended.sentence.endswith("): choose shorter names.")) == (2, True)
    ended = bt("submit", package, "--experiment", "x" * 129)
    assert "The name of the experiment has 129 characters, and Kubeflow takes 128" in ended.sentence
    assert not server.state.runs


def test_a_file_and_a_version_are_one_too_many(server: ApiServer, bt: Bt, package: Path) -> None:
    assert "Name one of them" in bt("submit", package, "--version", "p-1").sentence
    assert not server.state.versions


def test_runs_are_listed(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("submit", package, "--name", "first", "--wait")
    bt("submit", "--strategy", "p", "--name", "second", "--experiment", "elsewhere")
    found = json.loads(bt("runs", "--json").out)
    assert [(one["name"], one["strategy"], one["state"]) for one in found] == [
        ("second", "p", "PENDING"),
        ("first", "p -> w", "SUCCEEDED"),
    ]
    assert found[1]["seconds"] == 187
    rows = bt("runs", "--experiment", "better-together").out.splitlines()
    assert len(rows) == 2
    cells = ("first", "p -> w", "succeeded", "2026-11-01 12:00", "0:03:07", found[1]["link"])
    assert all(cell in rows[1] for cell in cells)
    assert "has no experiment `other`" in bt("runs", "--experiment", "other").sentence


def test_runs_of_other_peoples_pipelines_are_listed_too(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("submit", package, "--name", "mine")
    (version,) = server.state.versions.values()
    version.name = version.display_name = "by hand"
    assert json.loads(bt("runs", "--json").out)[0]["strategy"] == ""
    server.state.pipelines.clear()
    (listed,) = bt("runs").out.splitlines()[1:]
    assert listed.split()[:3] == ["mine", "-", "pending"]


def test_long_lists_come_in_pages(server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bt("submit", package, "--name", "0")
    (run,) = server.state.runs.values()
    for number in range(1, 120):
        copy = type(run)(**{name: getattr(run, name) for name in run.openapi_types})
        copy.run_id, copy.display_name, copy.created_at = f"id-{number}", str(number), server.now()
        server.state.runs[copy.run_id] = copy
    listed = json.loads(bt("runs", "--json", "--limit", "110").out)
    assert [one["name"] for one in listed] == [str(number) for number in range(119, 9, -1)]
    assert len(server.sent("GET", "/runs")) == 2
