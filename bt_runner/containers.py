"""Run the tasks of a local run as containers: Kubeflow's DockerRunner, without what it leaves to chance."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bt_core.errors import ERROR_MARK, WorldError

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
    """What the worker has to know, as JSON values; no container outlives the block. None for no containers.

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


def docker_runner(request: Mapping[str, Any]) -> Any:
    """Kubeflow's runner for this process, set up as `containment` says."""
    from docker.types import Mount
    from kfp import local
    from kfp.local import docker_task_handler

    docker_task_handler.run_docker_container = partial(run_container, labels={LABEL: request["run"]})
    return local.DockerRunner(
        user=request["user"],
        network_mode=request["network"],
        environment=request["environment"],
        mounts=[Mount(folder, folder, type="bind", read_only=True) for folder in request["folders"]],
    )


def run_container(client: Any, image: str, command: list[str], volumes: Mapping[str, Any], **arguments: Any) -> int:
    """Run a task, print what it prints, and return its exit status.

    Kubeflow's own function lets Docker remove the container, and reports success when it comes too late to ask it.
    """
    from docker.errors import APIError, ImageNotFound

    failed = WorldError.exit_status
    try:
        try:
            client.images.get(image)
        except ImageNotFound:
            client.images.pull(image)
        container = client.containers.create(image, command, volumes=volumes, **arguments)
    except APIError as error:
        said = f"The image {image} cannot be run ({error.explanation}): build or pull it (docs/images.md)."
        print(f"{ERROR_MARK} {failed}: {said}")
        return failed
    try:
        container.start()
        for line in lines(container.logs(stream=True, follow=True)):
            print(line)
        return int(container.wait()["StatusCode"])
    except APIError as error:
        print(f"{ERROR_MARK} {failed}: A task's container did not live to its end ({error.explanation}): run again.")
        return failed
    finally:
        with suppress(APIError):
            container.remove(force=True)


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream that comes in pieces."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


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
