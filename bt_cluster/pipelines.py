"""Pipelines and their versions on a cluster."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kfp_server_api as kfp

from bt_cluster.api import Api, equals
from bt_cluster.package import Content, Package
from bt_cluster.versions import ServerVersion, check, server_version
from bt_core.errors import ConfigError, UserError

#: The most characters of a name that Kubeflow's database keeps (backend/src/apiserver/validation/length.go).
LONGEST_NAME = 128
#: File names that Kubeflow takes for a pipeline (`ReadPipelineFile` in backend/src/apiserver/server/util.go).
_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Version:
    """A pipeline version on the cluster.

    Attributes:
        pipeline, name: the names that a person reads.
        content: what was uploaded, as far as Kubeflow kept it.
        is_new: whether this call uploaded it.
        server: version of the Kubeflow; None where it does not say.
        warnings: sentences on what will not work on that Kubeflow.
    """

    pipeline: str
    pipeline_id: str
    name: str
    version_id: str
    content: Content
    is_new: bool = False
    server: ServerVersion | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def reference(self) -> kfp.V2beta1PipelineVersionReference:
        return kfp.V2beta1PipelineVersionReference(pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id)


def upload(api: Api, package: Package, pipeline: str) -> Version:
    """Upload the file as a version of a pipeline; the same content is uploaded only once.

    A missing pipeline is created.

    Raises:
        ConfigError: when the pipeline's name is too long.
        UserError: when no run of the file can work on that version of Kubeflow, or Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    check_name("pipeline", pipeline)
    server = server_version(api)
    warnings = check(package.content, server)
    pipeline_id = _pipeline_id(api, pipeline) or _create(api, pipeline)
    is_new = False
    found = _named(api, pipeline_id, package.version)
    if found is None:
        found = _send(api, package, pipeline_id)
        is_new = found is not None
        found = found or _named(api, pipeline_id, package.version)  # another process uploaded it first
    if found is None:
        raise UserError(
            f"Kubeflow cannot upload the version {package.version}, and does not list it either: try again."
        )
    version_id = found.pipeline_version_id
    return Version(pipeline, pipeline_id, package.version, version_id, package.content, is_new, server, warnings)


def check_name(kind: str, name: str) -> None:
    """Refuse a name that Kubeflow would refuse with an error of its database.

    Raises:
        ConfigError: when the name of this kind of thing (`pipeline`, `experiment`) is too long.
    """
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"The name of the {kind} has {len(name)} characters, and Kubeflow takes {LONGEST_NAME}: choose a shorter"
            f" --{kind}."
        )


def _send(api: Api, package: Package, pipeline_id: str) -> Any:
    """The version made of the file; None where there is one of its name by now."""
    names = {"name": package.version, "display_name": package.version, "pipelineid": pipeline_id}
    with tempfile.TemporaryDirectory(prefix="bt-") as folder:
        path = package.path
        if path.suffix not in _ENDINGS:
            path = Path(shutil.copy(path, Path(folder, "pipeline.yaml")))
        return api.call(
            f"upload the version {package.version}",
            api.uploads.upload_pipeline_version,
            str(path),
            expected=(409,),
            advice="ask for permission to create pipelines in that namespace, or compile the file again, since Kubeflow"
            " gives this same answer for both",
            **names,
        )


def find_version(api: Api, pipeline: str, version: str = "") -> Version:
    """Find a version on the cluster: the one of that name, or the newest.

    Raises:
        ConfigError: when the pipeline's name is too long.
        UserError: when there is no such pipeline or version, no run of it can work on that version of Kubeflow, or
            Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    check_name("pipeline", pipeline)
    server = server_version(api)
    pipeline_id = _pipeline_id(api, pipeline)
    if pipeline_id is None:
        raise UserError(
            f"Kubeflow at {api.connection.host} has no pipeline `{pipeline}`: upload it with `bt upload`, or check"
            " --pipeline and --namespace."
        )
    found = _named(api, pipeline_id, version) if version else _newest(api, pipeline_id)
    if found is None:
        named = f"version `{version}`" if version else "version"
        raise UserError(f"The pipeline `{pipeline}` has no {named}: upload it with `bt upload`, or check --version.")
    name = found.name or found.display_name
    content = Content.of(found.pipeline_spec or {})
    warnings = check(content, server)
    return Version(pipeline, pipeline_id, name, found.pipeline_version_id, content, False, server, warnings)


def version_names(api: Api, pipeline_id: str) -> dict[str, str]:
    """Version id -> name, for every version of a pipeline; empty where the pipeline was deleted."""
    listing = api.pipelines.pipeline_service_list_pipeline_versions
    page = api.call("list versions", listing, pipeline_id, page_size=1, expected=(404,))
    if page is None:
        return {}
    found = api.every("list versions", listing, "pipeline_versions", pipeline_id)
    return {one.pipeline_version_id: one.name or one.display_name for one in found}


def _pipeline_id(api: Api, name: str) -> str | None:
    get = api.pipelines.pipeline_service_get_pipeline_by_name
    found = api.call(f"look for the pipeline {name}", get, name, namespace=api.connection.namespace, expected=(404,))
    return None if found is None else str(found.pipeline_id)


def _create(api: Api, name: str) -> str:
    body = kfp.V2beta1Pipeline(
        name=name,
        display_name=name,
        description="Optimises an LM program's prompts and weights.",
        namespace=api.connection.namespace or None,
    )
    doing = f"create the pipeline {name}"
    made = api.call(doing, api.pipelines.pipeline_service_create_pipeline, body, expected=(409,))
    if made is not None:
        return str(made.pipeline_id)
    found = _pipeline_id(api, name)  # another process created it first
    if found is None:
        raise UserError(f"Kubeflow cannot {doing}, and does not find it either: choose another --pipeline.")
    return found


def _named(api: Api, pipeline_id: str, name: str) -> Any:
    listing = api.pipelines.pipeline_service_list_pipeline_versions
    found = api.call("list versions", listing, pipeline_id, filter=equals("name", name)).pipeline_versions
    return found[0] if found else None


def _newest(api: Api, pipeline_id: str) -> Any:
    listing = api.pipelines.pipeline_service_list_pipeline_versions
    found = api.call("list versions", listing, pipeline_id, sort_by="created_at desc", page_size=1).pipeline_versions
    return found[0] if found else None
