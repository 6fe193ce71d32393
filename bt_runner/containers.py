"""Caller's side of tasks in containers: how they shall run, and that none of them outlives the run."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import WorldError

#: On every container of a run, with the run's own value: whatever happens, they can be found and removed.
LABEL = "bettertogether.run"
#: Group of every task: what an image lets any user write belongs to group 0.
GROUP = 0


@dataclass(frozen=True)
class Containers:
    """How tasks run as containers.

    Attributes:
        user: the tasks' user id; None for this process's own, or the image's where that is root.
        network: `host`, `none`, or a network that exists.
        folders: folders that tasks may read, under the paths they have here.
    """

    user: int | None = None
    network: str = "host"
    folders: Sequence[Path] = ()


@contextmanager
def containment(
    containers: Containers | None, pipeline_root: Path, environment: Mapping[str, str]
) -> Iterator[dict[str, Any] | None]:
    """What the worker process has to know, as JSON values; no container outlives the block. None for no containers.

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
    """Remove what is left of a run, whether it runs or not.

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
