"""Versions of Kubeflow: what does not work there is said in one sentence, and what cannot work at all is refused."""

from pathlib import Path

import pytest

from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain, compile_strategy
from bt_pipelines.pods.profile import read_profile
from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer, Fault

SECRET = "secrets: [{name: s3, env: {AWS_ACCESS_KEY_ID: key}}]\n"
FOLDER = "model_cache: {claim: models, sub_path: team}\n"
WHOLE_RUN = "ttl: 7d\ntimeout: 1d\n"


def _compiled(tmp_path: Path, profile: str) -> Path:
    (tmp_path / "profile.yaml").write_text(f"image: own-python:1\n{profile}")
    options = Options(profile=read_profile(tmp_path / "profile.yaml"))
    return compile_strategy(("p",), tmp_path / "pipeline.yaml", options)


@pytest.mark.parametrize("version", ["2.17.0", "2.18.1", "3.0.0", "unknown", "", "dev", "master"])
def test_nothing_is_said_where_all_works_or_the_version_is_not_known(
    version: str, server: ApiServer, bt: Bt, tmp_path: Path
) -> None:
    server.version = version
    path = _compiled(tmp_path, SECRET + FOLDER + WHOLE_RUN)
    for command in (["upload", path], ["submit", path], ["schedule", path, "--every", "1h"]):
        server.requests.clear()
        ended = bt(*command)
        assert (ended.status, "warning" in ended.err) == (0, False)
        assert len(server.sent("GET", "/healthz")) == 1


def test_a_server_that_does_not_tell_its_version(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault("GET", "/healthz", status=404))
    assert bt("upload", package).status == 0


@pytest.mark.parametrize("command", ["upload", "submit", "schedule"])
@pytest.mark.parametrize("version", ["2.16.1", "2.14.0"])
def test_a_lost_part_for_kubernetes_is_named(
    version: str, command: str, server: ApiServer, bt: Bt, tmp_path: Path
) -> None:
    server.version = version
    path = _compiled(tmp_path, SECRET + FOLDER + WHOLE_RUN)
    ended = bt(command, path, *(["--every", "1h"] if command == "schedule" else []))
    (warning,) = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert ended.status == 0
    assert warning.startswith(
        f"warning: Kubeflow Pipelines {version[:4]} does not know activeDeadlineSeconds, resourceTtlOnCompletion,"
        " resourceTtlOnFailure, resourceTtlOnSuccess and because of it silently ignores the file's whole part for"
        " Kubernetes: "
    )
    assert "pvcMount, " in warning
    assert "secretAsEnv of every task" in warning
    assert warning.endswith("Leave `ttl` and `timeout` of a whole run out of the profile, or use 2.17 or newer.")


@pytest.mark.parametrize(
    ("version", "profile", "fields"),
    [
        ("2.14.0", SECRET, "secretAsEnv.optional"),
        ("2.15.0", SECRET, ""),
        ("2.15.0", FOLDER, "pvcMount.subPath"),
        ("2.14.0", SECRET + FOLDER, "secretAsEnv.optional, pvcMount.subPath"),
        ("2.16.0", SECRET + FOLDER, ""),
    ],
    ids=["secret-2.14", "secret-2.15", "folder-2.15", "both-2.14", "both-2.16"],
)
def test_fields_that_a_server_refuses(
    version: str, profile: str, fields: str, server: ApiServer, bt: Bt, tmp_path: Path
) -> None:
    server.version = version
    ended = bt("submit", _compiled(tmp_path, profile))
    if not fields:
        assert (ended.status, "warning" in ended.err) == (0, False)
        return
    assert (ended.status, server.state.versions) == (2, {})
    assert f"refuses every run of this pipeline, since it does not know {fields} in the file's part" in ended.sentence


def test_what_is_on_a_server_already_is_judged_too(server: ApiServer, bt: Bt, tmp_path: Path) -> None:
    assert bt("upload", _compiled(tmp_path, FOLDER)).status == 0
    server.version = "2.15.0"
    ended = bt("submit")
    assert (ended.status, server.state.runs) == (2, {})
    assert "does not know pvcMount.subPath" in ended.sentence
    assert ended.sentence.endswith("leave that out of the profile, or use 2.16 or newer.")


def test_a_version_that_an_old_server_answers_without_its_pipeline(server: ApiServer, bt: Bt, tmp_path: Path) -> None:
    server.version = "2.16.1"
    assert bt("upload", _compiled(tmp_path, SECRET + WHOLE_RUN)).status == 0
    ended = bt("submit", "--name", "mine")
    assert (ended.status, "silently ignores the file's whole part for Kubernetes" in ended.err) == (0, True)
    assert bt("runs", "mine").status == 0


def test_a_server_that_can_run_nothing_of_ours(server: ApiServer, bt: Bt, package: Path, tmp_path: Path) -> None:
    server.version = "2.5.0"
    compile_retrain(("p",), tmp_path / "retrain.yaml")
    for path in (package, "retrain.yaml"):
        ended = bt("upload", path)
        assert (ended.status, ended.out, server.state.pipelines) == (2, "", {})
        assert ended.sentence.startswith("Kubeflow Pipelines 2.5 cannot run ")
        assert ended.sentence.endswith("use 2.14 or newer.")
