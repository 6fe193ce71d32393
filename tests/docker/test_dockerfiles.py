"""What can be said of the Dockerfiles and of the compose file without a Docker daemon."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bt_core.models.embedded import EMBEDDED_PACKAGE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker"
DOCKERFILES = sorted(FOLDER.glob("Dockerfile.*"))
HADOLINT = Path(sys.executable).with_name("hadolint")
#: A version, so that the same file gives the same image.
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")


def _name(path: Path) -> str:
    return path.name


def test_there_are_dockerfiles() -> None:
    assert {path.name for path in DOCKERFILES} == {"Dockerfile.cpu", "Dockerfile.gpu", "Dockerfile.mlflow"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run([HADOLINT, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_does_look(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp\n")
    done = subprocess.run([HADOLINT, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DL3007" in done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_base_images_are_arguments_pinned_by_digest(path: Path) -> None:
    text = path.read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    assert bases == {f"${{{name}}}" for name in defaults}
    assert all(PINNED.match(image) and "@" in image for image in defaults.values())


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_images_end_as_an_arbitrary_user_of_group_0(path: Path) -> None:
    users = re.findall(r"^USER (\S+)$", path.read_text(), re.MULTILINE)
    assert users == ["1001:0"]
    assert "HEALTHCHECK" in path.read_text()


def test_the_same_versions_in_both_images() -> None:
    cpu, gpu = ((FOLDER / f"Dockerfile.{kind}").read_text() for kind in ("cpu", "gpu"))
    for pattern in (
        r"^ARG PYTHON_IMAGE=.+$",
        r"^ARG VERSION=.+$",
        r"^ARG EMBEDDED_VERSION=.+$",
        r"^COPY docker/.+$",
        r"^ENV PIP.+$",
    ):
        found = re.findall(pattern, cpu, re.MULTILINE)
        assert found
        assert found == re.findall(pattern, gpu, re.MULTILINE)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_embedded_model_is_the_one_that_is_looked_for(kind: str) -> None:
    text = (FOLDER / f"Dockerfile.{kind}").read_text()
    (version,) = re.findall(r"^ARG EMBEDDED_VERSION=(.*)$", text, re.MULTILINE)
    assert f'"{EMBEDDED_PACKAGE}"'.replace(version, "${EMBEDDED_VERSION}") in text


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_mlflow_writes_nothing_into_the_home(path: Path, tmp_path: Path) -> None:
    """It does when it is imported, unless the image's variables keep it from that."""
    switches = dict(re.findall(r"(MLFLOW_DISABLE_TELEMETRY|DO_NOT_TRACK)=(\w+)", path.read_text()))
    assert len(switches) == 2
    for environment, written in ({}, ["telemetry.json"]), (switches, []):
        home = tmp_path / f"home-{len(written)}"
        home.mkdir()
        # A proxy that is not there, so that this test calls nobody.
        surroundings = {"HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9"} | environment
        subprocess.run([sys.executable, "-c", "import mlflow"], env=surroundings, check=True)
        assert [file.name for file in home.rglob("*") if file.is_file()] == written


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text()))


def test_compose_pins_images_and_stays_on_this_machine(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services.keys() == {"postgres", "s3", "bucket", "mlflow"}
    assert all(PINNED.match(service["image"]) for service in services.values() if "image" in service)
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_builds_from_a_file_that_is_there(compose: dict[str, Any]) -> None:
    assert FOLDER / Path(compose["services"]["mlflow"]["build"]["dockerfile"]).name in DOCKERFILES
