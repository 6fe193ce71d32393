"""When the tests of images may skip: only where nothing can be fetched."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker import daemon
from tests.docker.test_user_wheel import NAME, wheel

PIP = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--retries=0"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What pip says where a package does not exist."""
    wheel(tmp_path / "wheels" / NAME)
    path = tmp_path / "python.log"
    with path.open("wb") as output:
        command = [*PIP, "--no-index", "--find-links", tmp_path / "wheels", "--dest", tmp_path, "absent"]
        assert subprocess.run(command, stdout=output, stderr=output, check=False).returncode == 1
    return path


def test_a_package_that_does_not_exist_fails(log: Path, tmp_path: Path) -> None:
    probe = [*PIP, "--no-index", "--find-links", tmp_path / "wheels", "--dest", tmp_path, "greeter"]
    with pytest.raises(
        pytest.fail.Exception, match=r"(?s)No matching distribution found for absent.* list .* is broken"
    ):
        daemon.give_up(log, probe)


def test_a_registry_that_cannot_be_reached_skips(log: Path, tmp_path: Path) -> None:
    probe = [*PIP, "--index-url", "http://127.0.0.1:9/simple", "--dest", tmp_path, "greeter"]
    with pytest.raises(pytest.skip.Exception, match="python could not fetch its packages"):
        daemon.give_up(log, probe)
