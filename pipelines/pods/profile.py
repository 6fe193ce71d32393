"""A profile: what the pods of a pipeline ask of the cluster, as one typed YAML file (docs/kubeflow.md).

The settings of a pod come from four places, and the later one wins: the metadata.yaml of its component, `every_stage`,
`model_stages` for components that load the model, and `stages` under the name of the component. Mappings of names
(environment, labels, selectors) are merged name by name; every other setting is replaced whole.

A profile names secrets of the cluster and never holds their values.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

import bt_components
from bt_core.config import Section, load_config_file, step_kinds, validated
from bt_pipelines.pods.pod_settings import Accelerator, PodSettings
from bt_pipelines.pods.values import (
    OWN_VARIABLES,
    Claim,
    FolderPath,
    Name,
    Seconds,
    SourceKey,
    SubPath,
    Uri,
    Variable,
    refuse,
)

COMPONENTS = Path(bt_components.__file__).parent
#: The most shards: the merge of the evaluation takes the traces and reports of both programs' shards, up to 2 KB each,
#: in one argument, which Linux limits to 128 KB.
MOST_SHARDS = 50


class FromCluster(Section):
    """Environment from a secret or a config map of the cluster."""

    name: Name
    env: dict[Variable, SourceKey] = Field(min_length=1, description="variable: key in it")
    optional: bool = Field(False, description="a pod may start without it")


class ModelCache(Section):
    """An existing volume claim that keeps models between runs."""

    claim: Claim
    path: FolderPath = "/models"
    sub_path: SubPath = ""


def _check_names(stages: dict[str, PodSettings]) -> dict[str, PodSettings]:
    unknown = sorted(stages.keys() - component_names())
    if unknown:
        raise refuse(f"has {', '.join(unknown)}, but the stages are {', '.join(component_names())}")
    return stages


class Profile(Section):
    """What the pods of a pipeline ask of the cluster; see the docstring of this module."""

    image: str = Field("", description="container image of every task")
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[Name, ...] = ()
    run_as_non_root: bool = Field(
        False,
        description="Kubernetes refuses to start a pod as root, which completes what Pod Security `restricted` asks of"
        " a pod; needs Kubeflow 2.16, and older ones do not start a run with it",
    )
    tracking_uri: Uri = Field("", description="MLflow's address, as pods see it")
    fresh_data: bool = Field(False, description="read the data again in every run")
    shards: int = Field(
        1, ge=1, le=MOST_SHARDS, description="pods that share the rows of a bootstrap or of the evaluation"
    )
    fuse: bool = Field(False, description="run all steps of a strategy in one pod")
    model_cache: ModelCache | None = None
    secrets: tuple[FromCluster, ...] = Field(
        (),
        description="environment from secrets. With an `s3://` pipeline root whose credentials come `fromEnv`,"
        " Kubeflow's launcher, which runs in the same container, reads AWS_* too: they must then fit both stores",
    )
    config_maps: tuple[FromCluster, ...] = Field((), description="environment from config maps; AWS_* as for secrets")
    ttl: Seconds | None = Field(
        None,
        description="a finished run's workflow and pods are deleted after this time; needs Kubeflow 2.17, and older"
        " ones ignore all pod settings with it. Kubeflow itself deletes finished workflows after a day",
    )
    timeout: Seconds | None = Field(
        None,
        description="a run that takes longer is stopped; needs Kubeflow 2.17, and older ones ignore all pod settings"
        " with it",
    )
    component_defaults: bool = Field(True, description="start from each component's metadata.yaml")
    every_stage: PodSettings = PodSettings()
    model_stages: PodSettings = PodSettings()
    stages: Annotated[dict[str, PodSettings], AfterValidator(_check_names)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _set_once(self) -> "Profile":
        named = [name for source in (*self.secrets, *self.config_maps) for name in source.env]
        plain = {name for stage in (self.every_stage, self.model_stages, *self.stages.values()) for name in stage.env}
        twice = sorted({name for name in named if named.count(name) > 1 or name in plain or name in OWN_VARIABLES})
        if twice:
            raise refuse(f"{', '.join(twice)} would be set twice: keep one of the places")
        return self

    def with_options(
        self, image: str, tracking_uri: str, gpus: int, fresh_data: bool, shards: int, fuse: bool
    ) -> "Profile":
        """This profile with options of the command line in it, which win where they are set."""
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

    def pod_settings(self, component: str, loads_model: bool) -> PodSettings:
        """The settings of a component's pods, from all four places."""
        places = [
            component_defaults(component) if self.component_defaults else PodSettings(),
            self.every_stage,
            self.model_stages if loads_model else PodSettings(),
            self.stages.get(component, PodSettings()),
        ]
        merged: dict[str, Any] = {}
        for place in places:
            for key, value in place.model_dump(exclude_unset=True).items():
                merged[key] = {**merged[key], **value} if key in _BY_NAME and key in merged else value
        return PodSettings.model_validate(merged)


#: Settings that are merged name by name.
_BY_NAME = ("node_selector", "labels", "annotations", "env")


def component_names() -> list[str]:
    """Every component, our own and those of step kinds from other packages."""
    own = {path.parent.name for path in COMPONENTS.glob("*/metadata.yaml")}
    return sorted(own | {component for component, _ in _components_of_kinds()})


def component_defaults(component: str) -> PodSettings:
    """`resources` in a component's metadata.yaml, which is what the embedded model needs there."""
    file = COMPONENTS / component / "metadata.yaml"
    if not file.is_file():
        file = next(Path(module).with_name(file.name) for name, module in _components_of_kinds() if name == component)
    return PodSettings.model_validate(load_config_file(file).get("resources", {}) if file.is_file() else {})


def _components_of_kinds() -> Iterator[tuple[str, str]]:
    """The component of each step kind: the name of its function, and the file of its module."""
    for kind in step_kinds().values():
        module, _, function = kind.component.partition(":")
        spec = find_spec(module)  # imports the packages above the module, not the module
        yield function, spec.origin if spec and spec.origin else module


def read_profile(path: Path) -> Profile:
    """Read a profile from YAML or JSON.

    Raises:
        ConfigError: when the file cannot be read, or with every mistake in it at once.
    """
    return validated(Profile, load_config_file(path), f"the profile {path}", "docs/kubeflow.md lists every key")
