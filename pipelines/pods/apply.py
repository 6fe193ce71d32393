"""Gives a task what the profile says of its pod, and a pipeline its time to live.

This is the only file that sets what a pod asks for. It finds a task's component by `task.component_spec.name`, which
Kubeflow's SDK (2.17) makes from the name of the component's function and does not document.
"""

from typing import Any

from kfp import dsl, kubernetes

from bt_pipelines.pods.pod_settings import PodSettings
from bt_pipelines.pods.profile import Profile
from bt_runtime.images import DEFAULT_IMAGE, IMAGE, IMAGE_VARIABLE

#: Where a node's shared memory is mounted; PyTorch's workers and NCCL use it, and pods have 64 MB of it by default.
SHARED_MEMORY = "/dev/shm"
#: Argo's `maxDuration` of retries counts from the beginning of the first try, the time in which pods wait for a node
#: included, and ends a later try that is still running (workflow/controller/operator.go, processNodeRetries). So no
#: limit that is made of the task's own `timeout` would let every try run to its end, and Kubeflow's SDK writes one hour
#: where none is given. This one ends nothing: each try has its `timeout`, and the run has its own.
RETRIES_END = "3650d"


def apply_profile(task: Any, profile: Profile, loads_model: bool) -> None:
    """Give a task its image, resources, nodes, environment, model cache, time limit and retries.

    Args:
        task: a task of the pipeline that is being built; the profile names it by its component (`lora_finetune`).
        profile: what the pods of the pipeline ask for.
        loads_model: whether the profile's `model_stages` concern the task.
    """
    settings = profile.pod_settings(task.component_spec.name.replace("-", "_"), loads_model)
    _set_image(task, profile)
    _set_resources(task, settings)
    _set_nodes(task, settings)
    _set_environment(task, profile, settings)
    _set_cache(task, profile)
    if settings.timeout:
        kubernetes.set_timeout(task, settings.timeout)
    if settings.retries:
        again = settings.retries
        task.set_retry(again.count, f"{again.backoff}s", again.factor, RETRIES_END)


def pipeline_config(profile: Profile) -> dsl.PipelineConfig | None:
    """The settings of a whole run; None where the profile has none.

    The time to live is given three times, since the controller's own defaults, which in 2.17 are one hour for success
    and failure, win over what the pipeline leaves out (argo-workflows: workflow/util/merge.go).
    """
    if profile.ttl is None and profile.timeout is None:
        return None
    return dsl.PipelineConfig(
        ttl_seconds_after_finished=profile.ttl,
        ttl_seconds_after_success=profile.ttl,
        ttl_seconds_after_failure=profile.ttl,
        active_deadline_seconds=profile.timeout,
    )


def _set_image(task: Any, profile: Profile) -> None:
    image = profile.image or IMAGE
    if image != DEFAULT_IMAGE:
        task.set_container_image(image)
        task.set_env_variable(IMAGE_VARIABLE, image)  # for a TrainJob of the step, since no pod can ask what it runs
    if profile.run_as_non_root:
        kubernetes.set_security_context(task, run_as_non_root=True)
    if profile.image_pull_policy:
        kubernetes.set_image_pull_policy(task, profile.image_pull_policy)
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))


def _set_resources(task: Any, settings: PodSettings) -> None:
    amounts = {
        task.set_cpu_request: settings.cpu and settings.cpu.request,
        task.set_cpu_limit: settings.cpu and settings.cpu.limit,
        task.set_memory_request: settings.memory and settings.memory.request,
        task.set_memory_limit: settings.memory and settings.memory.limit,
    }
    for ask, amount in amounts.items():
        if amount:
            ask(amount)
    if settings.accelerator and settings.accelerator.count:
        task.set_accelerator_type(settings.accelerator.type).set_accelerator_limit(settings.accelerator.count)
    if settings.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", SHARED_MEMORY, "Memory", settings.shared_memory)


def _set_nodes(task: Any, settings: PodSettings) -> None:
    for key, value in settings.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for one in settings.tolerations:
        kubernetes.add_toleration(task, one.key, one.operator, one.value, one.effect, one.seconds)
    for key, value in settings.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in settings.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)


def _set_environment(task: Any, profile: Profile, settings: PodSettings) -> None:
    if profile.tracking_uri:
        task.set_env_variable("MLFLOW_TRACKING_URI", profile.tracking_uri)
    for name, value in settings.env.items():
        task.set_env_variable(name, value)
    sources = ((kubernetes.use_secret_as_env, profile.secrets), (kubernetes.use_config_map_as_env, profile.config_maps))
    for use, named in sources:
        for source in named:
            for variable, key in source.env.items():
                use(task, source.name, {key: variable}, source.optional)


def _set_cache(task: Any, profile: Profile) -> None:
    cache = profile.model_cache
    if cache is None:
        return
    kubernetes.mount_pvc(task, pvc_name=cache.claim, mount_path=cache.path, sub_path=cache.sub_path or None)
    task.set_env_variable("BT_CACHE", cache.path)
    task.set_env_variable("HF_HOME", f"{cache.path}/huggingface")
