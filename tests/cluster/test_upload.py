"""`bt upload`: a version named by strategy and content, uploaded once."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from bt_cluster.package import read_package
from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer, Fault


def _versions(server: ApiServer) -> list[str]:
    return [one.name for one in server.state.versions.values()]


def test_a_version_is_named_by_strategy_and_content(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = bt("upload", package)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    assert (ended.status, _versions(server)) == (0, [f"p-w-{digest[:12]}"])
    (pipeline,) = server.state.pipelines.values()
    (version,) = server.state.versions.values()
    assert pipeline.name == pipeline.display_name == "better-together"
    assert ended.err == f"Uploaded {version.name} of the pipeline better-together.\n"
    where = f"{server.url}/#/pipelines/details/{pipeline.pipeline_id}/version/{version.pipeline_version_id}\n"
    assert ended.out == where


def test_the_same_content_is_uploaded_once(server: ApiServer, bt: Bt, package: Path) -> None:
    first, second = bt("upload", package), bt("upload", package)
    assert (second.status, second.out) == (0, first.out)
    assert "is there already, with this very content." in second.err
    assert len(server.sent("POST", "upload_version")) == 1


def test_a_strategy_is_compiled_on_the_way(server: ApiServer, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("image: registry/own-python:3\n")
    options = ("--strategy", "p", "--task", "iris", "--profile", "own.yaml", "--pipeline", "iris")
    assert [bt("upload", *options).status for _ in range(2)] == [0, 0]
    (version,) = server.state.versions.values()
    assert re.fullmatch(r"p-[0-9a-f]{12}", version.name)
    spec = server.state.specs[version.pipeline_version_id]
    assert spec["root"]["inputDefinitions"]["parameters"]["task"]["defaultValue"] == "iris"
    assert {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()} == {
        "registry/own-python:3"
    }
    assert [one.name for one in server.state.pipelines.values()] == ["iris"]
    assert bt("upload", *options, "--set", "seed=1").status == 0
    assert len(_versions(server)) == 2, "other settings are another version"


def test_somebody_who_is_quicker_is_no_error(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("upload", package)
    hidden = server.state.versions.copy(), server.state.pipelines.copy()
    server.faults.append(Fault("GET", "names/", status=404, times=1))  # not there when we look, there when we create
    ended = bt("upload", package)
    assert (ended.status, (server.state.versions, server.state.pipelines)) == (0, hidden)
    assert "is there already" in ended.err


def test_a_version_that_appears_between_looking_and_uploading(server: ApiServer, bt: Bt, package: Path) -> None:
    first = bt("upload", package)
    server.faults.append(Fault("GET", "/versions", page="{}", times=1))
    ended = bt("upload", package)
    assert (ended.status, ended.out) == (0, first.out)
    assert len(server.sent("POST", "upload_version")) == 2, "the second was refused with 409"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.yaml"], "The pipeline file gone.yaml does not exist"),
        (["text.yaml"], "text.yaml holds no compiled pipeline"),
        (["broken.yaml"], "broken.yaml holds no compiled pipeline"),
        (["nameless.yaml"], "nameless.yaml holds no compiled pipeline"),
        (["empty.yaml"], "empty.yaml holds no compiled pipeline"),
        (["large.yaml"], "has 33,554,433 bytes, and Kubeflow takes 33,554,432"),
        ([], "Name what to upload"),
        (["--strategy", "p", "--pipeline", "x" * 129], "The name of the pipeline has 129 characters"),
        (["text.yaml", "--strategy", "p"], "Name one of them"),
        (["text.yaml", "--task", "iris", "--profile", "x.yaml"], "--task, --profile is used when"),
        (["--strategy", "p", "--profile", "gone.yaml"], "gone.yaml does not exist"),
    ],
    ids=[
        "missing",
        "no-pipeline",
        "no-yaml",
        "no-name",
        "no-root",
        "large",
        "nothing",
        "long-name",
        "both",
        "compiled",
        "no-profile",
    ],
)
def test_bad_input(arguments: list[str], sentence: str, server: ApiServer, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "text.yaml").write_text("some: text\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    (tmp_path / "nameless.yaml").write_text("{pipelineInfo: {}, root: {}, deploymentSpec: {}}\n")
    (tmp_path / "empty.yaml").write_text("{pipelineInfo: {name: a}, root: , deploymentSpec: {}}\n")
    (tmp_path / "large.yaml").write_text("x" * ((32 << 20) + 1))
    ended = bt("upload", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.sentence
    assert not server.requests


def test_a_file_of_any_name_is_sent_under_one_that_kubeflow_takes(
    server: ApiServer, bt: Bt, package: Path, tmp_path: Path
) -> None:
    (tmp_path / "pipeline.txt").write_bytes(package.read_bytes())
    assert bt("upload", "pipeline.txt").status == 0
    (sent,) = server.sent("POST", "upload_version")
    assert b'filename="pipeline.yaml"' in sent.body


def test_a_large_sweep_is_taken(server: ApiServer, bt: Bt, package: Path, tmp_path: Path) -> None:
    padded = package.read_text() + "# " + "x" * 1_500_000 + "\n"
    (tmp_path / "large.yaml").write_text(padded)
    assert bt("upload", "large.yaml").status == 0


def test_an_upload_without_rights_is_told_apart_by_nobody(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault("POST", "upload_version", status=400))
    ended = bt("upload", package)
    assert ended.status == 2
    assert "ask for permission to create pipelines in that namespace, or compile the file again" in ended.sentence


def test_a_name_that_is_too_long_for_the_database_is_not_tried_again(
    server: ApiServer, bt: Bt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bt_cluster.pipelines.LONGEST_NAME", 1000)  # a database with another limit than ours
    ended = bt("upload", "--strategy", "p", "--pipeline", "x" * 129)
    assert ended.status == 2
    assert ended.sentence.endswith("Pipeline.Name length cannot exceed 128): choose shorter names.")


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("BetterTogether p -> w -> p", "p-w-p"),
        ("BetterTogether sweep", "sweep"),
        ("BetterTogether retraining p -> w", "retrain"),
        ("", "hand-made"),
        ("Somebody's own", "hand-made"),
    ],
    ids=["strategy", "sweep", "retraining", "no-title", "another-title"],
)
def test_the_slug_comes_from_the_title(title: str, slug: str, tmp_path: Path) -> None:
    info = {"name": "better-together-hand-made"} | ({"displayName": title} if title else {})
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps({"pipelineInfo": info, "root": {}, "deploymentSpec": {}}))
    assert read_package(path).version.rpartition("-")[0] == slug
