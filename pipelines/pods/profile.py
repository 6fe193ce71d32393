"""A profile: what the pods of a pipeline ask of the cluster, as one typed YAML file (docs/kubeflow.md).

Settings of a stage come from four places, later wins: the component's own metadata.yaml, `every_stage`,
`model_stages` for components that load the model, and `stages` under the component's name. Mappings of names
(environment, labels, selectors) are merged name by name, everything else is replaced whole.

A profile names secrets of the cluster and never holds one.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

import bt_components
from bt_core.config import Section, load_config_file, validated
from bt_pipelines.pods.values import (
    OWN_VARIABLES,
    Cpu,
    Environment,
    FolderPath,
    Label,
    Memory,
    Name,
    Seconds,
    Uri,
    Variable,
    refuse,
)

COMPONENTS = Path(bt_components.__file__).parent
#: Shards of both programs whose traces and reports the merge of the evaluation can be given: up to 2 KB each, in one
#: argument, which Linux ends at 128 KB.
MOST_SHARDS = 50


class CpuAmount(Section):
    request: Cpu | None = None
    limit: Cpu | None = None


class MemoryAmount(Section):
    request: Memory | None = None
    limit: Memory | None = None


class Accelerator(Section):
    type: str = Field("nvidia.com/gpu", min_length=1, description="the cluster's name of it")
    count: int = Field(1, ge=0)


class Toleration(Section):
    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(None, ge=0, description="how long, where the effect is NoExecute")

    @model_validator(mode="after")
    def _consistent(self) -> "Toleration":
        if self.operator == "Exists" and self.value is not None:
            raise refuse("has a value, which `operator: Exists` does not look at: leave one of them out")
        if self.operator == "Equal" and self.key is None:
            raise refuse("has no key: name one, or write `operator: Exists`")
        if self.seconds is not None and self.effect != "NoExecute":  # Kubernetes refuses such a pod
            raise refuse("has `seconds`, which need `effect: NoExecute`: write that, or leave them out")
        return self


class Retries(Section):
    count: int = Field(ge=0, le=20)
    backoff: Seconds = Field(30, description="wait before the first retry")
    factor: float = Field(2.0, ge=1.0, description="each wait is this many times the last")
    longest: Seconds = Field(600, description="no wait is longer")


class Stage(Section):
    """What the pod of one task asks for; what is left out comes from the places named above."""

    cpu: CpuAmount | None = None
    memory: MemoryAmount | None = None
    accelerator: Accelerator | None = None
    shared_memory: Memory | None = Field(None, description="size of /dev/shm")
    node_selector: dict[str, Label] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    timeout: Seconds | None = Field(None, description="a pod that runs longer is stopped")
    retries: Retries | None = None
    labels: dict[str, Label] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    env: Environment = Field(default_factory=dict)


class FromCluster(Section):
    """Environment from a secret or a config map of the cluster."""

    name: Name
    env: dict[Variable, Annotated[str, Field(min_length=1)]] = Field(min_length=1, description="variable: key in it")
    optional: bool = Field(False, description="a pod may start without it")


class ModelCache(Section):
    """An existing volume claim that keeps models between runs."""

    claim: Name
    path: FolderPath = "/models"
    sub_path: str = ""


def _known(stages: "dict[str, Stage]") -> "dict[str, Stage]":
    unknown = sorted(stages.keys() - component_names())
    if unknown:
        raise refuse(f"has {', '.join(unknown)}, but the stages are {', '.join(component_names())}")
    return stages


class Profile(Section):
    """See the module's docstring."""

    image: str = Field("", description="of every task")
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[Name, ...] = ()
    tracking_uri: Uri = Field("", description="MLflow's address, as pods see it")
    fresh_data: bool = Field(False, description="read the data again in every run")
    shards: int = Field(
        1, ge=1, le=MOST_SHARDS, description="pods that share the rows of a bootstrap or of the evaluation"
    )
    fuse: bool = Field(False, description="run all steps of a strategy in one pod")
    model_cache: ModelCache | None = None
    secrets: tuple[FromCluster, ...] = ()
    config_maps: tuple[FromCluster, ...] = ()
    ttl: Seconds | None = Field(None, description="a finished run's workflow and pods are deleted after this time")
    timeout: Seconds | None = Field(None, description="a run that takes longer is stopped")
    component_defaults: bool = Field(True, description="start from each component's metadata.yaml")
    every_stage: Stage = Stage()
    model_stages: Stage = Stage()
    stages: Annotated[dict[str, Stage], AfterValidator(_known)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_meaning(self) -> "Profile":
        named = [name for source in (*self.secrets, *self.config_maps) for name in source.env]
        plain = {name for stage in (self.every_stage, self.model_stages, *self.stages.values()) for name in stage.env}
        twice = sorted({name for name in named if named.count(name) > 1 or name in plain or name in OWN_VARIABLES})
        if twice:
            raise refuse(f"{', '.join(twice)} would be set twice: keep one of the places")
        return self

    def chosen(self, image: str, tracking_uri: str, gpus: int, fresh_data: bool, shards: int, fuse: bool) -> "Profile":
        """This profile under options of the command line, which win where they say something."""
        changes: dict[str, Any] = {"fresh_data": self.fresh_data or fresh_data, "fuse": self.fuse or fuse}
        if image:
            changes["image"] = image
        if tracking_uri:
            changes["tracking_uri"] = tracking_uri
        if shards:
            changes["shards"] = shards
        if gpus:
            kind = self.model_stages.accelerator or Accelerator()
            accelerator = kind.model_copy(update={"count": gpus})
            changes["model_stages"] = self.model_stages.model_copy(update={"accelerator": accelerator})
        return self.model_copy(update=changes)

    def stage(self, component: str, loads_model: bool) -> Stage:
        """The settings of a component's task, all places merged."""
        places = [
            component_defaults(component) if self.component_defaults else Stage(),
            self.every_stage,
            self.model_stages if loads_model else Stage(),
            self.stages.get(component, Stage()),
        ]
        merged: dict[str, Any] = {}
        for place in places:
            for key, value in place.model_dump(exclude_unset=True).items():
                merged[key] = {**merged[key], **value} if key in _BY_NAME and key in merged else value
        return Stage.model_validate(merged)


#: Settings that are merged name by name.
_BY_NAME = ("node_selector", "labels", "annotations", "env")


def component_names() -> list[str]:
    """Every component, by its folder."""
    return sorted(path.parent.name for path in COMPONENTS.glob("*/metadata.yaml"))


def component_defaults(component: str) -> Stage:
    """`resources` in a component's metadata.yaml: what the embedded model needs there."""
    return Stage.model_validate(load_config_file(COMPONENTS / component / "metadata.yaml").get("resources", {}))


def read_profile(path: Path) -> Profile:
    """Read a profile from YAML or JSON.

    Raises:
        ConfigError: when the file cannot be read, or with every mistake in it at once.
    """
    return validated(Profile, load_config_file(path), f"the profile {path}", "docs/kubeflow.md lists every key")
