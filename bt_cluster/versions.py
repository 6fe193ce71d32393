"""Which version of Kubeflow Pipelines the parts of a compiled file need, and what an older one does with them.

The versions were read from the tags of kubeflow/pipelines: `kubernetes_platform/proto/kubernetes_executor_config.proto`
and `api/v2alpha1/pipeline_spec.proto` for fields, `backend/src/v2/driver` for how producers are found, and
`backend/api/v2beta1/recurring_run.proto` for the deletion of schedules.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bt_cluster.api import Api
from bt_cluster.package import Content
from bt_core.errors import UserError

ServerVersion = tuple[int, int]

#: Since when Kubeflow finds the producer of an input by the task's key. Before, it looked for the task's title.
TASK_KEYS: ServerVersion = (2, 14)
#: Since when a task may be handed the final status of others, as the last one of a retraining is.
FINAL_STATUS: ServerVersion = (2, 14)
#: Since when a schedule can be deleted without its running runs (`propagation_policy`).
ORPHAN: ServerVersion = (2, 16)
#: Since when a pipeline's part for Kubernetes may say how long a run and its workflow last.
PIPELINE_CONFIG: ServerVersion = (2, 17)
#: Fields of a task's part for Kubernetes, by their path. A version that does not know a field refuses the run.
EXECUTOR_FIELDS: Mapping[tuple[str, ...], ServerVersion] = {
    ("secretAsEnv", "optional"): (2, 15),
    ("configMapAsEnv", "optional"): (2, 15),
    ("pvcMount", "subPath"): (2, 16),
    ("securityContext",): (2, 16),
}
_HEALTH = "/apis/v2beta1/healthz"


def server_version(api: Api) -> ServerVersion | None:
    """The version of a Kubeflow, `(2, 17)`; None where it does not say, as one that was built from a branch.

    Raises:
        UserError: when Kubeflow does not accept who asks.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    answer = api.document("say which version it is", _HEALTH, expected=(403, 404))
    found = re.match(r"v?(\d+)\.(\d+)\.", str(answer.get("tag_name", "")) if isinstance(answer, dict) else "")
    return (int(found[1]), int(found[2])) if found else None


def check(content: Content, version: ServerVersion | None) -> list[str]:
    """Sentences on what of a compiled file will not work on that version; none for a version that is not known.

    Raises:
        UserError: when no run of the file can work there.
    """
    if version is None:
        return []
    here = f"Kubeflow Pipelines {version[0]}.{version[1]}"
    if version < TASK_KEYS and _has_titles(content.spec):
        raise UserError(
            f"{here} cannot run this pipeline, since it looks tasks up by their titles: {_upgrade(TASK_KEYS)}."
        )
    if version < FINAL_STATUS and _wants_final_status(content.spec):
        raise UserError(f"{here} cannot run a retraining, since it knows no final status: {_upgrade(FINAL_STATUS)}.")
    lost = sorted(content.platform.get("pipelineConfig") or {})
    if lost and version < PIPELINE_CONFIG:
        return [
            f"{here} does not know {', '.join(lost)} and because of it silently ignores the file's whole part for"
            f" Kubernetes: {', '.join(_executor_keys(content.platform))} of every task. Leave `ttl` and `timeout` of a"
            f" whole run out of the profile, or {_upgrade(PIPELINE_CONFIG)}."
        ]
    unknown = {path: since for path, since in EXECUTOR_FIELDS.items() if version < since}
    used = {".".join(path): since for path, since in unknown.items() if _has(_executors(content.platform), path)}
    if used:
        raise UserError(
            f"{here} refuses every run of this pipeline, since it does not know {', '.join(used)} in the file's part"
            f" for Kubernetes: leave that out of the profile, or {_upgrade(max(used.values()))}."
        )
    return []


def _upgrade(version: ServerVersion) -> str:
    return f"use {version[0]}.{version[1]} or newer"


def _has_titles(spec: Mapping[str, Any]) -> bool:
    """Whether a task that hands something on has a title other than its key."""
    dags = [part["dag"] for part in (spec.get("root", {}), *spec.get("components", {}).values()) if "dag" in part]
    return any(_is_named(dag, producer) for dag in dags for producer in set(_producers(dag)))


def _producers(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "producerTask" in part:
            yield part["producerTask"]
        for one in part.values():
            yield from _producers(one)
    elif isinstance(part, list):
        for one in part:
            yield from _producers(one)


def _is_named(dag: Mapping[str, Any], key: str) -> bool:
    task = dag.get("tasks", {}).get(key)
    return task is not None and task.get("taskInfo", {}).get("name", key) != key


def _wants_final_status(spec: Mapping[str, Any]) -> bool:
    parts = (one.get("inputDefinitions", {}).get("parameters", {}) for one in spec.get("components", {}).values())
    return any(one.get("parameterType") == "TASK_FINAL_STATUS" for part in parts for one in part.values())


def _executors(platform: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(((platform.get("deploymentSpec") or {}).get("executors") or {}).values())


def _executor_keys(platform: Mapping[str, Any]) -> list[str]:
    return sorted({key for one in _executors(platform) for key in one})


def _has(part: Any, path: tuple[str, ...]) -> bool:
    if isinstance(part, list):
        return any(_has(one, path) for one in part)
    return not path or (isinstance(part, dict) and path[0] in part and _has(part[path[0]], path[1:]))
