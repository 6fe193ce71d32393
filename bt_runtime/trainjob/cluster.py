"""The requests to Kubernetes' API that a TrainJob takes, through Kubeflow's SDK, which is imported here alone."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from bt_core.config import TrainJobConfig
from bt_core.errors import ConfigError, TrainingError, first_line
from bt_core.retries import Pauses, try_again

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
#: The label by which JobSet marks the pods of a job; a JobSet has its TrainJob's name.
_JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"
_NOT_FOUND, _NO_LOG_YET, _TOO_MANY, _SERVER_ERROR = 404, 400, 429, 500
#: How long one question is asked again while the API does not answer.
_PATIENCE_SECONDS, _PAUSES = 60.0, Pauses(first=0.5, longest=8.0)

Answer = TypeVar("Answer")


def new_client(settings: TrainJobConfig) -> Any:
    """A `kubeflow.trainer.TrainerClient` for the namespace in the settings.

    Raises:
        ConfigError: when the SDK is not installed.
        TrainingError: when there is no cluster to connect to.
    """
    try:
        from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
    except ImportError:
        raise ConfigError(
            "`w.mode` is trainjob, but Kubeflow's SDK is not installed: pip install 'bettertogether-kfp[trainjob]'."
        ) from None
    # It warns, with headers and JSON, where the account may not read a config map that nothing here needs.
    logging.getLogger("kubeflow.trainer").setLevel(logging.ERROR)
    with api_errors("no Kubernetes API was reached"):
        return TrainerClient(KubernetesBackendConfig(namespace=settings.namespace or None))


class Cluster:
    """TrainJobs, their pods and the pods' logs in one namespace.

    Every method raises a `TrainingError` when the API refuses, or does not answer for a minute.

    Args:
        client: a `kubeflow.trainer.TrainerClient`.
    """

    def __init__(self, client: Any) -> None:
        self._client, backend = client, client.backend
        self._jobs, self._core, self._namespace = backend.custom_api, backend.core_api, backend.namespace

    def runtime_kind(self, runtime: str) -> str:
        """`ClusterTrainingRuntime`, or `TrainingRuntime` for one of the namespace, which comes first."""
        with api_errors(f"the TrainJob in runtime {runtime} failed"):
            return str(self._client.get_runtime(runtime).kind.value)

    def create(self, body: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Create a TrainJob and return it as the API stores it; a dry run only says how it would be stored."""
        more = {"dry_run": "All"} if dry_run else {}
        with api_errors(f"the TrainJob in runtime {body['spec']['runtimeRef']['name']} failed"):
            return dict(
                self._jobs.create_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, body, **more)
            )

    def job(self, name: str) -> dict[str, Any] | None:
        """The TrainJob; None where it does not exist, or is about to be deleted."""
        with api_errors(f"the TrainJob {name} cannot be read"):
            found = _ask_for(
                lambda: self._jobs.get_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, name),
                _NOT_FOUND,
            )
        return None if found is None or "deletionTimestamp" in found["metadata"] else dict(found)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The TrainJob's pods, as the API's JSON, the newest last."""
        selector = f"{_JOB_LABEL}={name}"
        with api_errors(f"the pods of the TrainJob {name} cannot be listed"):
            answer = _ask(
                lambda: (
                    self._core.list_namespaced_pod(
                        self._namespace, label_selector=selector, _preload_content=False
                    ).data
                )
            )
        pods: list[dict[str, Any]] = json.loads(answer)["items"]
        return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def log(self, pod: str, container: str, **options: Any) -> str:
        """A container's log; empty where it has none yet, or no longer.

        Args:
            pod, container: their names.
            options: those of `read_namespaced_pod_log`, such as `previous`, `tail_lines` and `since_seconds`.
        """
        with api_errors(f"the log of the pod {pod} cannot be read"):
            text = _ask_for(
                lambda: (
                    self._core.read_namespaced_pod_log(
                        pod, self._namespace, container=container, _preload_content=False, **options
                    ).data
                ),
                _NOT_FOUND,
                _NO_LOG_YET,
            )
        return bytes(text or b"").decode(errors="replace")

    def delete(self, name: str) -> None:
        """Delete a TrainJob and its pods; one that is gone already is no error."""
        with api_errors(f"the TrainJob {name} cannot be deleted"):
            _ask_for(
                lambda: self._jobs.delete_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, name),
                _NOT_FOUND,
            )


@contextmanager
def api_errors(what: str) -> Iterator[None]:
    """Turn an error of the SDK into one sentence, with the API's own message and neither headers nor JSON."""
    try:
        yield
    except Exception as error:
        foreign = type(error).__module__.startswith(("kubernetes", "urllib3", "multiprocessing"))
        if not foreign and not isinstance(error, OSError | RuntimeError | ValueError):  # TimeoutError is an OSError
            raise
        raise TrainingError(f"Kubeflow Trainer: {what} ({_reason(error)}).") from None


def _ask(request: Callable[[], Answer]) -> Answer:
    """The API's answer, asked for again while it fails in a way that may pass."""
    return try_again(request, _is_transient, _PAUSES, seconds=_PATIENCE_SECONDS)


def _ask_for(request: Callable[[], Answer], *absent: int) -> Answer | None:
    """The API's answer; None where its status is one of `absent`."""
    try:
        return _ask(request)
    except Exception as error:
        if getattr(error, "status", None) in absent:
            return None
        raise


def _is_transient(error: Exception) -> bool:
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status == _TOO_MANY or status >= _SERVER_ERROR
    return type(error).__module__.startswith("urllib3")


def _reason(error: BaseException) -> str:
    """What the API says, or why there is no answer, looked for in the error and its causes."""
    found: BaseException | None = error
    while found is not None:
        if type(found).__module__.startswith("urllib3"):
            place = getattr(found, "conn", None) or getattr(found, "pool", None)
            where = f"at {place.host}:{place.port} " if place is not None else ""
            return f"the Kubernetes API {where}does not answer"
        status = getattr(found, "status", None)
        if isinstance(status, int):  # an ApiException
            return _message(getattr(found, "body", None)) or f"status {status} {getattr(found, 'reason', '')}"
        found = found.__cause__ or found.__context__
    return first_line(error)


def _message(body: Any) -> str:
    """The `message` of a Kubernetes Status object; empty where the body is something else."""
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return ""
