"""Worker process: run a task in a container of its image, and pass on what it prints."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from bt_core.errors import ERROR_MARK, WorldError
from bt_runner.cold_tasks import send_lines
from bt_runner.containers import LABEL
from bt_runner.kfp_internals import run_containers_with


def docker_runner(settings: Mapping[str, Any]) -> Any:
    """Kubeflow's runner for this process, set up as `containers.containment` says."""
    from docker.types import Mount
    from kfp import local

    run_containers_with(partial(run_container, labels={LABEL: settings["run"]}))
    return local.DockerRunner(
        user=settings["user"],
        network_mode=settings["network"],
        environment=settings["environment"],
        mounts=[Mount(folder, folder, type="bind", read_only=True) for folder in settings["folders"]],
    )


def run_container(client: Any, image: str, command: list[str], volumes: Mapping[str, Any], **arguments: Any) -> int:
    """Run a task's container and return its exit status.

    Kubeflow's own function lets Docker remove the container and, when it then finds no exit status, reports success.
    """
    from docker.errors import APIError, ImageNotFound

    try:
        try:
            client.images.get(image)
        except ImageNotFound:
            client.images.pull(image)
        container = client.containers.create(image, command, volumes=volumes, **arguments)
    except APIError as error:
        return _fail(f"The image {image} cannot be run ({error.explanation}): build or pull it (docs/images.md).")
    try:
        container.start()
        send_lines(split_lines(container.logs(stream=True, follow=True)))
        return int(container.wait()["StatusCode"])
    except APIError as error:
        return _fail(f"A task's container did not live to its end ({error.explanation}): run again.")
    finally:
        with suppress(APIError):
            container.remove(force=True)


def _fail(sentence: str) -> int:
    send_lines([f"{ERROR_MARK} {WorldError.exit_status}: {sentence}"])
    return WorldError.exit_status


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream that comes in chunks; as in Python's text files, a carriage return ends a line too."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from line.decode(errors="replace").removesuffix("\r").split("\r")
    if rest:
        yield from rest.decode(errors="replace").split("\r")
