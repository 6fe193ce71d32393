"""The stub's pipelines and versions, as the real API has them."""

import uuid
from email import message_from_bytes
from typing import Any

import kfp_server_api as kfp

from tests.cluster.kubeflow.checks import Refused, Request, checked, checked_package, page
from tests.cluster.kubeflow.state import Backend


class Pipelines(Backend):
    """Requests for pipelines and their versions."""

    def pipeline_named(self, request: Request, name: str) -> Any:
        found = [one for one in self.state.pipelines.values() if one.name == name]
        if not found:
            raise Refused(404, f"Failed to get pipeline by name {name}: record not found")
        return found[0]

    def create_pipeline(self, request: Request) -> Any:
        body = checked("V2beta1Pipeline", request.json)
        if not body.name or any(one.name == body.name for one in self.state.pipelines.values()):
            raise Refused(409, f"Already exist error: the name {body.name} already exist")
        if len(body.name) > 128:
            raise Refused(500, "InternalServerError: Invalid input error: Pipeline.Name length cannot exceed 128")
        body.pipeline_id, body.created_at = str(uuid.uuid4()), self.now()
        self.state.pipelines[body.pipeline_id] = body
        return body

    def get_version(self, request: Request, pipeline_id: str, version_id: str) -> Any:
        found = self.state.versions.get(version_id)
        if found is None or found.pipeline_id != pipeline_id:
            raise Refused(404, f"PipelineVersion {version_id} not found")
        return found

    def versions_of(self, request: Request, pipeline_id: str) -> Any:
        if pipeline_id not in self.state.pipelines:
            raise Refused(404, f"Pipeline {pipeline_id} not found")
        own = [one for one in self.state.versions.values() if one.pipeline_id == pipeline_id]
        return page(request, own, kfp.V2beta1ListPipelineVersionsResponse, "pipeline_versions")

    def upload_version(self, request: Request) -> Any:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = message_from_bytes(head + request.body).get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        if not str(part.get_filename()).endswith((".yaml", ".yml", ".json")):
            raise Refused(400, "Failed to create a pipeline version")  # server/util.go
        whole = checked_package(part.get_payload(decode=True))
        query = request.query
        if query.get("pipelineid") not in self.state.pipelines:
            raise Refused(400, "Failed to create a pipeline version")
        same = [one for one in self.state.versions.values() if one.pipeline_id == query["pipelineid"]]
        if query["name"] in [one.name for one in same]:
            raise Refused(409, "Failed to create a pipeline version")
        made = kfp.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=str(uuid.uuid4()),
            name=query["name"],
            display_name=query["display_name"],
            created_at=self.now(),
            pipeline_spec=self._kept(whole),
        )
        self.state.versions[made.pipeline_version_id] = made
        self.state.specs[made.pipeline_version_id] = whole["pipeline_spec"]
        return made

    def _kept(self, whole: dict[str, Any]) -> dict[str, Any]:
        """A file as it is answered. Before 2.17 a part that says how long a run may last is not seen to be the one for
        Kubernetes, and is answered in place of the pipeline (`YamlStringToPipelineSpecStruct` in server/api_util.go).
        """
        platform = whole.get("platform_spec")
        if platform and "pipelineConfig" in platform["platforms"]["kubernetes"] and not self.knows(2, 17):
            return dict(platform)
        return whole if platform else whole["pipeline_spec"]
