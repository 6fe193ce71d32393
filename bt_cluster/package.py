"""A compiled pipeline file to upload: the version that it becomes, and the arguments that it takes."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, parse_json
from bt_core.yaml_text import BrokenYaml, documents

#: Largest file that Kubeflow takes, in bytes (`MaxFileLength` in backend/src/apiserver/common/const.go).
MOST_BYTES = 32 << 20
_PREFIX = "better-together-"
_TITLE = "BetterTogether "
_DIGITS = 12


@dataclass(frozen=True)
class Content:
    """What a compiled file holds.

    Attributes:
        spec: the pipeline's specification; empty where Kubeflow did not keep it.
        platform: the part for Kubernetes; empty where there is none.
    """

    spec: Mapping[str, Any]
    platform: Mapping[str, Any]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Content":
        """The content as Kubeflow answers with it: both parts in one, or one alone.

        The part for Kubernetes comes alone where an older version does not know all of it.
        """
        if "platforms" in answer:
            return cls({}, _on_kubernetes(answer))
        if "pipeline_spec" not in answer:
            return cls(answer, {})
        return cls(answer["pipeline_spec"], _on_kubernetes(answer.get("platform_spec")))

    @property
    def parameters(self) -> dict[str, str]:
        """Name -> Kubeflow's type."""
        found = self.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
        return {name: str(one.get("parameterType", "STRING")) for name, one in found.items()}


@dataclass(frozen=True)
class Package:
    """A file to upload.

    Attributes:
        path: the file.
        version: name of the version: the strategy and the start of the file's sha256, `p-w-p-3f9a0c1d2e4b`.
        content: what the file holds.
    """

    path: Path
    version: str
    content: Content


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
    spec, *others = _documents(path, content)
    version = f"{_slug(spec['pipelineInfo'])}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"
    return Package(path, version, Content(spec, _on_kubernetes(others[0] if others else None)))


def _slug(info: Mapping[str, Any]) -> str:
    """`p-w-p`, `sweep` or `retrain`, from the pipeline's title `BetterTogether p -> w -> p`; else from its name."""
    title = str(info.get("displayName", ""))
    if not title.startswith(_TITLE):
        return str(info["name"]).removeprefix(_PREFIX)
    what = title.removeprefix(_TITLE)
    return "retrain" if what.startswith("retraining ") else what.replace(" -> ", "-")


def _documents(path: Path, content: bytes) -> list[Any]:
    try:
        found = documents(content.decode())
    except (BrokenYaml, UnicodeDecodeError):
        found = []
    if not found or not isinstance(found[0], dict) or not _is_pipeline(found[0]):
        raise ConfigError(f"{path} holds no compiled pipeline: write one with `bt compile`.")
    return found


def _on_kubernetes(platform: Any) -> Mapping[str, Any]:
    platforms = platform.get("platforms") if isinstance(platform, dict) else None
    return (platforms or {}).get("kubernetes") or {}


def _is_pipeline(found: Mapping[str, Any]) -> bool:
    parts = (found.get(name) for name in ("pipelineInfo", "root", "deploymentSpec"))
    return all(isinstance(part, dict) for part in parts) and "name" in found["pipelineInfo"]


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
        except (ValueError, BrokenJson):
            wrong.append(f"`{text}` is no {_WORDS[kind]}")
    if wrong:
        raise ConfigError(f"The arguments are wrong: {'; '.join(wrong)}. Write --param seed=1.")
    return arguments


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _of_json(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = parse_json(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return read


_READ: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": _finite,
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
