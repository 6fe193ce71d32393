"""`bt upload`: a version named by strategy and content, uploaded once."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Bt
from tests.cluster.api_server import ApiServer, Fault


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
    spec = version.pipeline_spec["pipeline_spec"]
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
        (["large.yaml"], "has 1,000,001 bytes"),
        ([], "Name what to upload"),
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
    (tmp_path / "large.yaml").write_text("x" * 1_000_001)
    ended = bt("upload", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.sentence
    assert not server.requests
