"""Settings of a training that Kubeflow Trainer runs."""

from pydantic import Field

from bt_core.config.section import Section


class TrainJobConfig(Section):
    """`w.mode: trainjob`: training handed to Kubeflow Trainer (docs/training.md)."""

    share: str = Field("", description="folder on a volume that both pods mount, or s3://bucket/prefix")
    claim: str = Field("", description="volume claim that the TrainJob mounts at `share`; empty: the runtime mounts it")
    cache_claim: str = Field(
        "",
        description="volume claim, or claim/folder, that the TrainJob mounts at `BT_CACHE`; empty: its pods fetch the"
        " base model themselves",
    )
    image: str = Field("", description="image of the training pods; empty: that of the step")
    runtime: str = Field("torch-distributed", description="the cluster's training runtime")
    namespace: str = Field("", description="empty: that of the pod, or of the kubeconfig")
    gpus: int = Field(1, ge=0, description="GPUs of each training pod; as many as `w.processes`")
    timeout: int = Field(86400, ge=60, description="seconds to wait for the job")
    pending_seconds: int = Field(
        600, ge=0, description="seconds to wait for a pod that does not start, for a node to come up for example"
    )
