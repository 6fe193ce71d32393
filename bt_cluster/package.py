"""A compiled pipeline file to upload: the version that it becomes, and the arguments that it takes."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_core.yaml_text import BrokenYaml, first_document

#: Largest pipeline that Kubeflow's database takes, in bytes.
MOST_BYTES = 1_000_000
_PREFIX = "better-together-"
_DIGITS = 12


@dataclass(frozen=True)
class Package:
    """A file to upload.

    Attributes:
        path: the file.
        version: name of the version: the strategy and the start of the file's sha256, `p-w-p-3f9a0c1d2e4b`.
        parameters: name -> Kubeflow's type.
    """

    path: Path
    version: str
    parameters: Mapping[str, str]


def read_package(path: Path) -> Package:
    """Read a compiled pipeline file.

    Raises:
        ConfigError: when the file is missing, is too large, or holds no pipeline.
    """
    if not path.is_file():
        raise ConfigError(f"The pipeline file {path} does not exist: compile one with `bt compile`, or check the path.")
    content = path.read_bytes()
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"The pipeline file {path} has {len(content):,} bytes, and Kubeflow takes {MOST_BYTES:,}: name fewer seeds"
            " or strategies."
        )
    spec = _first_document(path, content)
    slug = str(spec["pipelineInfo"]["name"]).removeprefix(_PREFIX)
    version = f"{slug}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"
    return Package(path, version, parameters_of(spec))


def _first_document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        found = first_document(content.decode())
    except (BrokenYaml, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not _is_pipeline(found):
        raise ConfigError(f"{path} holds no compiled pipeline: write one with `bt compile`.")
    return found


def _is_pipeline(found: Mapping[str, Any]) -> bool:
    parts = (found.get(name) for name in ("pipelineInfo", "root", "deploymentSpec"))
    return all(isinstance(part, dict) for part in parts) and "name" in found["pipelineInfo"]


def parameters_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Name -> Kubeflow's type of every parameter of a pipeline's specification."""
    whole = spec.get("pipeline_spec", spec)  # Kubeflow answers with the platform's part beside it
    found = whole.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return {name: str(one.get("parameterType", "STRING")) for name, one in found.items()}


def strategy_of(version: str) -> str:
    """The strategy in the name of a version that `bt` made, `p -> w -> p`; empty for other names."""
    found = re.fullmatch(rf"([a-z][-a-z]*)-[0-9a-f]{{{_DIGITS}}}", version)
    if found is None:
        return ""
    parts = found[1].split("-")
    return " -> ".join(parts) if all(len(part) == 1 for part in parts) else found[1]


def read_arguments(assignments: Sequence[str], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Read `name=value` texts as arguments of a pipeline, each as its parameter's type.

    Raises:
        ConfigError: names every text that has no `=`, an unknown parameter, or a value of another type.
    """
    arguments: dict[str, Any] = {}
    wrong = []
    for text in assignments:
        name, equals, value = text.partition("=")
        kind = parameters.get(name.strip())
        if not equals or kind is None:
            wrong.append(f"`{text}` names no parameter ({', '.join(sorted(parameters)) or 'there are none'})")
            continue
        try:
            arguments[name.strip()] = _READ[kind](value)
        except ValueError:
            wrong.append(f"`{text}` is no {_WORDS[kind]}")
    if wrong:
        raise ConfigError(f"The arguments are wrong: {'; '.join(wrong)}. Write --param seed=1.")
    return arguments


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _of_json(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return read


_READ: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": _boolean,
    "LIST": _of_json(list),
    "STRUCT": _of_json(dict),
}
_WORDS = {
    "NUMBER_INTEGER": "whole number",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "true or false",
    "LIST": "JSON list",
    "STRUCT": "JSON object",
}
