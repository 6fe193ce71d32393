"""Caller's side of tasks in containers: their settings, and the guarantee that no container outlives the run."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import WorldError

#: The label of every container, with the run's id as its value, by which they are found and removed.
LABEL = "bettertogether.run"
#: The group of every task: what any user of an image may write belongs to group 0.
GROUP = 0


@dataclass(frozen=True)
class Containers:
    """How tasks run as containers.

    Attributes:
        user: the tasks' user id; None: that of this process, or where this is root, that of the image.
        network: `host`, `none`, or the name of a network of Docker's.
        folders: folders that tasks may read, under the same paths as here.
    """

    user: int | None = None
    network: str = "host"
    folders: Sequence[Path] = ()


@contextmanager
def containment(
    containers: Containers | None, pipeline_root: Path, environment: Mapping[str, str]
) -> Iterator[dict[str, Any] | None]:
    """The settings of the containers as JSON values for the worker process; None where tasks run as plain processes.

    When the block ends, so do the containers.

    Raises:
        WorldError: when no Docker answers.
    """
    if containers is None:
        yield None
        return
    connect().close()
    pipeline_root.chmod(pipeline_root.stat().st_mode | 0o070)
    user = os.getuid() if containers.user is None else containers.user
    run = uuid.uuid4().hex
    try:
        yield {
            "user": f"{user}:{GROUP}" if user else None,
            "network": containers.network,
            "folders": [str(folder.resolve()) for folder in containers.folders],
            "environment": {"PYTHONUNBUFFERED": "1", **environment},
            "run": run,
        }
    finally:
        remove_containers(run)


def remove_containers(run: str) -> None:
    """Remove the containers of a run, running or not.

    Raises:
        WorldError: when no Docker answers.
    """
    with closing(connect()) as client:
        for container in client.containers.list(all=True, filters={"label": f"{LABEL}={run}"}):
            container.remove(force=True)


def connect() -> Any:
    """A client of the Docker that DOCKER_HOST names.

    Raises:
        WorldError: when none answers.
    """
    import docker

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise WorldError(f"No Docker answers ({error}): start it, or set DOCKER_HOST.") from None
    return client
