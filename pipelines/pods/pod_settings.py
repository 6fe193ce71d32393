"""What the pod of one task asks of the cluster: resources, nodes, time, retries, labels and environment."""

from typing import Literal

from pydantic import Field, model_validator

from bt_core.config import Section
from bt_pipelines.pods.values import Cpu, Environment, Label, LabelKey, Memory, Seconds, cores, memory_bytes, refuse

#: The longest that all waits between the tries of one task may take together, in days.
MOST_WAITING = 7
_ABOVE_LIMIT = "has a request above its limit, which Kubernetes refuses: raise the limit or lower the request"


class CpuAmount(Section):
    request: Cpu | None = None
    limit: Cpu | None = None

    @model_validator(mode="after")
    def _request_within_limit(self) -> "CpuAmount":
        if self.request and self.limit and cores(self.request) > cores(self.limit):
            raise refuse(_ABOVE_LIMIT)
        return self


class MemoryAmount(Section):
    request: Memory | None = None
    limit: Memory | None = None

    @model_validator(mode="after")
    def _request_within_limit(self) -> "MemoryAmount":
        if self.request and self.limit and memory_bytes(self.request) > memory_bytes(self.limit):
            raise refuse(_ABOVE_LIMIT)
        return self


class Accelerator(Section):
    type: LabelKey = Field("nvidia.com/gpu", description="the name that the cluster gives it")
    count: int = Field(1, ge=0)


class Toleration(Section):
    key: LabelKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: Label | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(None, ge=0, description="how long the pod stays, where the effect is NoExecute")

    @model_validator(mode="after")
    def _consistent(self) -> "Toleration":
        if self.operator == "Exists" and self.value is not None:
            raise refuse("has a value, which `operator: Exists` does not read: leave one of them out")
        if self.operator == "Equal" and self.key is None:
            raise refuse("has no key: name one, or write `operator: Exists`")
        if self.seconds is not None and self.effect != "NoExecute":  # Kubernetes refuses such a pod
            raise refuse("has `seconds`, which need `effect: NoExecute`: write that, or leave them out")
        return self


class Retries(Section):
    """How often Kubeflow begins a task again, and how long it waits before that.

    What counts as a failure that is worth another try is not for a pipeline to say: Kubeflow sets no policy
    (backend/src/v2/compiler/argocompiler/container.go), so Argo's controller applies its own. The settings that come
    with 2.17 make it OnError with a limit of 2
    (manifests/kustomize/third-party/argo/base/workflow-controller-configmap-patch.yaml): a pod that was lost is begun
    again, also without this setting, but a program that ended with an error, ran out of memory or over its `timeout` is
    not. Up to 2.16 it is OnFailure, and the other way round. `Always` in the controller's defaults is no way out, since
    they reach every level of a pipeline, and each level tries all below it again.

    A failing store, tracking server, endpoint or hub is therefore asked again inside the task.
    """

    count: int = Field(ge=0, le=20, description="tries after the first")
    backoff: Seconds = Field(30, description="wait before the second try")
    factor: int = Field(
        2, ge=1, le=1000, description="each wait is this many times the one before; Argo takes whole numbers"
    )

    @model_validator(mode="after")
    def _bounded(self) -> "Retries":
        days = sum(self.backoff * self.factor**number for number in range(self.count)) / 86400
        if days > MOST_WAITING:  # Argo's own arithmetic overflows far above that
            raise refuse(
                f"would wait {days:.0f} days in all, and at most {MOST_WAITING} are possible: lower `count`, `backoff`"
                " or `factor`"
            )
        return self


class PodSettings(Section):
    """What the pod of one task asks for; a setting that is left out comes from elsewhere (`Profile.pod_settings`)."""

    cpu: CpuAmount | None = None
    memory: MemoryAmount | None = None
    accelerator: Accelerator | None = None
    shared_memory: Memory | None = Field(None, description="size of /dev/shm")
    node_selector: dict[LabelKey, Label] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    timeout: Seconds | None = Field(
        None, description="a pod that runs longer is stopped, and counts as failed; each try has this time"
    )
    retries: Retries | None = None
    labels: dict[LabelKey, Label] = Field(default_factory=dict)
    annotations: dict[LabelKey, str] = Field(default_factory=dict)
    env: Environment = Field(default_factory=dict)
