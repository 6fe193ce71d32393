"""Gives a task what its profile says, and a pipeline its time to live; nothing else touches pod settings."""

from typing import Any

from kfp import dsl, kubernetes

from bt_pipelines.pods.profile import Profile, Stage
from bt_runtime.images import DEFAULT_IMAGE, IMAGE, IMAGE_VARIABLE

#: Where a node's shared memory is mounted; PyTorch's workers and NCCL use it, and pods have 64 MB of it by default.
SHARED_MEMORY = "/dev/shm"


def furnish(task: Any, profile: Profile, loads_model: bool) -> None:
    """Give a task image, resources, place, environment, and what happens when it fails.

    Args:
        task: of the pipeline that is being built; its component's folder is the stage's name in the profile.
        profile: what to ask for.
        loads_model: whether the profile's `model_stages` concern it.
    """
    stage = profile.stage(task.component_spec.name.replace("-", "_"), loads_model)
    _set_image(task, profile)
    _set_resources(task, stage)
    _set_place(task, stage)
    _set_environment(task, profile, stage)
    _set_cache(task, profile)
    if stage.timeout:
        kubernetes.set_timeout(task, stage.timeout)
    if stage.retries:
        waits = {"backoff_duration": f"{stage.retries.backoff}s", "backoff_max_duration": f"{stage.retries.longest}s"}
        task.set_retry(stage.retries.count, backoff_factor=stage.retries.factor, **waits)


def pipeline_config(profile: Profile) -> dsl.PipelineConfig | None:
    """What concerns a run as a whole; None where the profile says nothing of it."""
    if profile.ttl is None and profile.timeout is None:
        return None
    return dsl.PipelineConfig(ttl_seconds_after_finished=profile.ttl, active_deadline_seconds=profile.timeout)


def _set_image(task: Any, profile: Profile) -> None:
    image = profile.image or IMAGE
    if image != DEFAULT_IMAGE:
        task.set_container_image(image)
        task.set_env_variable(IMAGE_VARIABLE, image)  # for a TrainJob of the step, since no pod can ask what it runs
    if profile.image_pull_policy:
        kubernetes.set_image_pull_policy(task, profile.image_pull_policy)
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))


def _set_resources(task: Any, stage: Stage) -> None:
    amounts = {
        task.set_cpu_request: stage.cpu and stage.cpu.request,
        task.set_cpu_limit: stage.cpu and stage.cpu.limit,
        task.set_memory_request: stage.memory and stage.memory.request,
        task.set_memory_limit: stage.memory and stage.memory.limit,
    }
    for ask, amount in amounts.items():
        if amount:
            ask(amount)
    if stage.accelerator and stage.accelerator.count:
        task.set_accelerator_type(stage.accelerator.type).set_accelerator_limit(stage.accelerator.count)
    if stage.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", SHARED_MEMORY, "Memory", stage.shared_memory)


def _set_place(task: Any, stage: Stage) -> None:
    for key, value in stage.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for one in stage.tolerations:
        kubernetes.add_toleration(task, one.key, one.operator, one.value, one.effect, one.seconds)
    for key, value in stage.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in stage.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)


def _set_environment(task: Any, profile: Profile, stage: Stage) -> None:
    if profile.tracking_uri:
        task.set_env_variable("MLFLOW_TRACKING_URI", profile.tracking_uri)
    for name, value in stage.env.items():
        task.set_env_variable(name, value)
    sources = ((kubernetes.use_secret_as_env, profile.secrets), (kubernetes.use_config_map_as_env, profile.config_maps))
    for use, found in sources:
        for source in found:
            for variable, key in source.env.items():
                use(task, source.name, {key: variable}, source.optional)


def _set_cache(task: Any, profile: Profile) -> None:
    cache = profile.model_cache
    if cache is None:
        return
    kubernetes.mount_pvc(task, pvc_name=cache.claim, mount_path=cache.path, sub_path=cache.sub_path or None)
    task.set_env_variable("BT_CACHE", cache.path)
    task.set_env_variable("HF_HOME", f"{cache.path}/huggingface")
