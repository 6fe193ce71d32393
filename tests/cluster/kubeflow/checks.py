"""Requests as Kubeflow's API would read them: by `kfp_server_api`'s models and the schemas of compiled pipelines."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from types import SimpleNamespace
from typing import Any

import kfp_server_api as kfp
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

CLIENT = kfp.ApiClient()


class Refused(Exception):
    """An answer that is an error, as the backend's gateway words it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def checked(model: str, content: Any) -> Any:
    """The content as an object of Kubeflow's API; refuses unknown fields and values of another type."""
    _check(model, content, model)
    return CLIENT.deserialize(SimpleNamespace(data=json.dumps(content)), model)


def _check(kind: str, value: Any, where: str) -> None:
    many = re.fullmatch(r"(?:dict\(str, (.*)\)|list\[(.*)\])", kind)
    if value is None or kind == "object":
        return
    if many:
        _is(dict if many[1] else list, value, where)
        for one in value.values() if many[1] else value:
            _check(many[1] or many[2], one, where)
    elif kind in _PLAIN:
        _is(_PLAIN[kind], value, where)
    else:
        _check_model(getattr(kfp, kind), value, where)


_PLAIN = {"str": str, "bool": bool, "int": int, "float": float, "datetime": str}


def _is(kind: type, value: Any, where: str) -> None:
    if not isinstance(value, kind):
        raise Refused(400, f"{where} is no {kind.__name__}: {value!r}")


def _check_model(model: Any, value: Any, where: str) -> None:
    allowed = getattr(model, "allowable_values", None)
    if allowed:
        if value not in allowed:
            raise Refused(400, f"{where} is {value!r}, which is none of {allowed}")
        return
    _is(dict, value, where)
    types = {model.attribute_map[name]: one for name, one in model.openapi_types.items()}
    if value.keys() - types.keys():
        raise Refused(400, f"{where}: unknown fields in {value!r}")
    for name, one in value.items():
        _check(types[name], one, f"{where}.{name}")


def checked_package(content: bytes) -> dict[str, Any]:
    """A compiled file as the backend keeps it: both documents, read through their schemas."""
    try:
        pipeline, *platform = yaml.load_all(content, Loader=yaml.CSafeLoader)
        json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        for document in platform:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
            for executor in document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
                json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except (json_format.ParseError, ValueError, KeyError, TypeError) as error:
        raise Refused(400, f"invalid pipeline spec: {error}") from None
    parts = {"pipeline_spec": pipeline}
    return parts | {"platform_spec": platform[0]} if platform else parts


def page(request: Request, items: list[Any], response: Callable[..., Any], name: str) -> Any:
    """Filter, sort and cut a listing as its query says; a page token is where the next page begins."""
    query = request.query
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        wanted = checked("V2beta1Predicate", predicate)
        if wanted.operation not in ("EQUALS", "IN"):
            raise Refused(400, f"Unknown operation {wanted.operation}")
        values = wanted.string_values.values if wanted.operation == "IN" else [wanted.string_value]
        items = [one for one in items if getattr(one, wanted.key) in values]
    key, _, order = query.get("sort_by", "created_at").partition(" ")
    items = sorted(items, key=lambda one: getattr(one, key), reverse=order == "desc")
    start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 20)
    rest = str(start + size) if start + size < len(items) else ""
    return response(**{name: items[start : start + size]}, next_page_token=rest)
