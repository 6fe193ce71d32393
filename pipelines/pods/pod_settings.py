"""What the pod of one task asks of the cluster: resources, nodes, time, retries, labels and environment."""

from typing import Literal

from pydantic import Field, model_validator

from bt_core.config import Section
from bt_pipelines.pods.values import Cpu, Environment, Label, Memory, Seconds, refuse


class CpuAmount(Section):
    request: Cpu | None = None
    limit: Cpu | None = None


class MemoryAmount(Section):
    request: Memory | None = None
    limit: Memory | None = None


class Accelerator(Section):
    type: str = Field("nvidia.com/gpu", min_length=1, description="the name that the cluster gives it")
    count: int = Field(1, ge=0)


class Toleration(Section):
    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
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
    count: int = Field(ge=0, le=20)
    backoff: Seconds = Field(30, description="wait before the first retry")
    factor: float = Field(2.0, ge=1.0, description="each wait is this many times the one before")
    longest: Seconds = Field(600, description="no wait is longer")


class PodSettings(Section):
    """What the pod of one task asks for; a setting that is left out comes from elsewhere (`Profile.pod_settings`)."""

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
