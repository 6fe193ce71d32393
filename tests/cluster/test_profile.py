"""Profiles: pods with the settings of the file, and no secrets in what is compiled."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain, compile_strategy, compile_sweep
from bt_pipelines.pods.pod_settings import PodSettings
from bt_pipelines.pods.profile import COMPONENTS, Profile, component_defaults, component_names, read_profile
from bt_runtime.images import DEFAULT_IMAGE
from tests.cli.conftest import Bt
from tests.cli.conftest import bt as bt
from tests.cluster.test_profile_mistakes import profile_of

PROFILES = Path(__file__).parents[2] / "docs" / "profiles"
STRATEGY = ("p", "w")
#: Folders of the components that load the model, among those of the strategy.
MODEL_STAGES = {"bootstrap-traces", "bootstrap-traces-2", "prompt-search", "lora-finetune", "evaluate"}
LIGHT_STAGES = {"prepare-data"}


class Compiled:
    """A compiled file as the backend reads it."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        pipeline, *platform = yaml.load_all(self.text, Loader=yaml.CSafeLoader)
        self.spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        self.platform = json_format.ParseDict(platform[0] if platform else {}, pipeline_spec_pb2.PlatformSpec())
        self.run_settings = platform[0]["platforms"]["kubernetes"].get("pipelineConfig", {})
        executors = platform[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.pods = {
            name.removeprefix("exec-"): json_format.ParseDict(
                executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig()
            )
            for name, executor in executors.items()
        }
        self.containers = {
            name.removeprefix("exec-"): one["container"]
            for name, one in pipeline["deploymentSpec"]["executors"].items()
            if "container" in one
        }
        self.tasks = pipeline["root"]["dag"]["tasks"]

    @classmethod
    def of(cls, folder: Path, options: Options) -> "Compiled":
        return cls(compile_strategy(STRATEGY, folder / "pipeline.yaml", options))


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled.of(tmp_path_factory.mktemp("gpu"), Options(profile=read_profile(PROFILES / "gpu.yaml")))


@pytest.fixture
def newest(tmp_path: Path) -> Profile:
    """The same profile with all that only the newest Kubeflow knows."""
    text = (PROFILES / "gpu.yaml").read_text(encoding="utf-8")
    return profile_of(tmp_path, f"{text}\nttl: 7d\ntimeout: 1d\nrun_as_non_root: true\n")


def test_model_stages_get_the_accelerator_and_the_others_do_not(gpu: Compiled) -> None:
    assert gpu.containers.keys() == gpu.pods.keys() == MODEL_STAGES | LIGHT_STAGES
    for name, container in gpu.containers.items():
        accelerator = container["resources"].get("accelerator", {})
        pod = gpu.pods[name]
        tolerations = [(one.key, one.operator, one.effect) for one in pod.tolerations]
        shared = [(one.mount_path, one.medium, one.size_limit) for one in pod.empty_dir_mounts]
        if name in MODEL_STAGES:
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
            assert dict(pod.node_selector.labels) == {"nvidia.com/gpu.product": "NVIDIA-L4"}
            assert tolerations == [("nvidia.com/gpu", "Exists", "NoSchedule")]
            assert shared == [("/dev/shm", "Memory", "4Gi")]
        else:
            assert (accelerator, tolerations, shared, len(pod.node_selector.labels)) == ({}, [], [], 0)


def test_resources_of_a_stage_win_over_those_of_model_stages(gpu: Compiled) -> None:
    def asked(name: str) -> dict[str, str]:
        found = gpu.containers[name]["resources"]
        return {key: value for key, value in found.items() if key.startswith("resource")}

    memory = {"resourceMemoryRequest": "16Gi", "resourceMemoryLimit": "16Gi"}
    assert asked("evaluate") == {"resourceCpuRequest": "4", **memory}
    assert asked("lora-finetune")["resourceMemoryLimit"] == "24Gi"
    own = component_defaults("prepare_data")
    assert own.cpu is not None
    assert own.memory is not None
    assert asked("prepare-data") == {
        "resourceCpuRequest": own.cpu.request,
        "resourceMemoryRequest": own.memory.request,
    }


def test_every_pod_gets_image_cache_secrets_and_labels(gpu: Compiled) -> None:
    for name, pod in gpu.pods.items():
        container = gpu.containers[name]
        assert container["image"] == "registry.example.com/ml/triage-python:1-gpu"
        assert pod.image_pull_policy == "IfNotPresent"
        assert [one.secret_name for one in pod.image_pull_secret] == ["registry-login"]
        assert [(one.constant, one.mount_path) for one in pod.pvc_mount] == [("bettertogether-models", "/models")]
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables == {
            "BT_IMAGE": "registry.example.com/ml/triage-python:1-gpu",
            "MLFLOW_TRACKING_URI": "http://mlflow.mlflow:5000",
            "BT_CACHE": "/models",
            "HF_HOME": "/models/huggingface",
        }
        secret = {
            pair.env_var: (one.secret_name, pair.secret_key, one.optional)
            for one in pod.secret_as_env
            for pair in one.key_to_env
        }
        assert secret == {
            "AWS_ACCESS_KEY_ID": ("s3-credentials", "access-key", False),
            "AWS_SECRET_ACCESS_KEY": ("s3-credentials", "secret-key", False),
            "MLFLOW_TRACKING_USERNAME": ("mlflow-credentials", "username", False),
            "MLFLOW_TRACKING_PASSWORD": ("mlflow-credentials", "password", False),
            "HF_TOKEN": ("hugging-face", "token", True),
        }
        plain = {pair.env_var: pair.config_map_key for one in pod.config_map_as_env for pair in one.key_to_env}
        assert plain == {"AWS_ENDPOINT_URL": "endpoint", "AWS_REGION": "region"}
        assert dict(pod.pod_metadata.labels) == {"team": "nlp", "bettertogether/strategy": "p-w"}
        assert {one.name for one in pod.field_path_as_env} == {"KFP_RUN_ID", "BT_STRATEGY"}


def test_what_older_backends_refuse_is_only_there_when_asked_for(
    gpu: Compiled, newest: Profile, tmp_path: Path
) -> None:
    assert gpu.run_settings == {}
    assert not [name for name, pod in gpu.pods.items() if pod.HasField("security_context")]
    compiled = Compiled.of(tmp_path, Options(profile=newest))
    # Of each kind, since the controller's defaults would fill in what is missing.
    times = {f"resourceTtlOn{end}": 7 * 86400 for end in ("Completion", "Success", "Failure")}
    assert compiled.run_settings == times | {"activeDeadlineSeconds": 86400}
    assert compiled.platform.platforms["kubernetes"].pipelineConfig.resource_ttl_on_success == 7 * 86400
    assert all(pod.security_context.run_as_non_root for pod in compiled.pods.values())


def test_times_and_retries(gpu: Compiled) -> None:
    limits = {name: pod.active_deadline_seconds for name, pod in gpu.pods.items()}
    own = component_defaults("prepare_data").timeout
    assert (limits["lora-finetune"], limits["prompt-search"], limits["prepare-data"]) == (21600, 14400, own)
    policies = {name: task["retryPolicy"] for name, task in gpu.tasks.items()}
    waits = {"backoffDuration": "120s", "backoffFactor": 2.0, "backoffMaxDuration": "315360000s"}
    assert policies["lora-finetune"] == {"maxRetryCount": 3, **waits}
    waits = {"backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "315360000s"}
    assert policies["evaluate"] == {"maxRetryCount": 2, **waits}


def test_every_try_may_take_its_whole_time(gpu: Compiled) -> None:
    """Argo counts its limit from the beginning of the first try, and takes integers only."""
    assert len(gpu.tasks) == len(gpu.pods)
    for name, task in gpu.tasks.items():
        policy = task["retryPolicy"]
        tries, factor = policy["maxRetryCount"], policy["backoffFactor"]
        wait, limit = (int(policy[key].removesuffix("s")) for key in ("backoffDuration", "backoffMaxDuration"))
        waits = sum(wait * factor**number for number in range(tries))
        assert factor == int(factor)
        assert (tries + 1) * gpu.pods[name].active_deadline_seconds + waits < limit


def test_sweeps_and_retraining_take_profiles_too(newest: Profile, tmp_path: Path) -> None:
    options = Options(profile=newest)
    paths = (
        compile_sweep([STRATEGY], [0], tmp_path / "sweep.yaml", options),
        compile_retrain(STRATEGY, tmp_path / "retrain.yaml", options),
    )
    for compiled in map(Compiled, paths):
        assert compiled.run_settings["resourceTtlOnCompletion"] == 7 * 86400
        assert compiled.pods.keys() == compiled.containers.keys()
        with_gpu = {name for name, one in compiled.containers.items() if "accelerator" in one["resources"]}
        assert {"lora-finetune", "bootstrap-traces"} <= with_gpu
        assert "prepare-data" not in with_gpu
        assert all(one.pvc_mount and one.secret_as_env for one in compiled.pods.values())


def test_a_cpu_profile_asks_for_what_components_need(tmp_path: Path) -> None:
    compiled = Compiled.of(tmp_path, Options(profile=read_profile(PROFILES / "cpu.yaml")))
    asked = {name: one["resources"] for name, one in compiled.containers.items()}
    assert not [name for name, one in asked.items() if "accelerator" in one]
    assert (asked["prompt-search"]["resourceCpuRequest"], asked["lora-finetune"]["resourceCpuLimit"]) == ("2", "8")
    assert asked["lora-finetune"]["resourceMemoryLimit"] == "12Gi"


def test_without_a_profile_pods_ask_for_nothing(tmp_path: Path) -> None:
    compiled = Compiled.of(tmp_path, Options())
    assert not [name for name, one in compiled.containers.items() if "resources" in one or "env" in one]
    assert not [name for name, task in compiled.tasks.items() if "retryPolicy" in task]
    assert compiled.run_settings == {}
    assert {one["image"] for one in compiled.containers.values()} == {DEFAULT_IMAGE}


def test_options_win_over_theprofile_of(tmp_path: Path) -> None:
    text = """
        image: profile:1
        tracking_uri: http://profile
        model_stages: {accelerator: {type: amd.com/gpu, count: 4}}
        component_defaults: false
    """
    options = Options("option:2", "http://option", 2, True, profile=profile_of(tmp_path, text))
    compiled = Compiled.of(tmp_path, options)
    container = compiled.containers["evaluate"]
    assert container["image"] == "option:2"
    assert [one["value"] for one in container["env"]] == ["option:2", "http://option"]
    accelerator = container["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", "2")
    assert "resources" not in compiled.containers["prepare-data"]
    assert not compiled.tasks["prepare-data"]["cachingOptions"].get("enableCache")


def test_the_four_places_are_merged_name_by_name(tmp_path: Path) -> None:
    text = """
        component_defaults: false
        every_stage: {labels: {a: x, b: x}, env: {ONE: "1"}, timeout: 90s, memory: {request: 1Gi, limit: 2Gi}}
        model_stages: {labels: {b: y}, accelerator: {}, memory: {limit: 3Gi}}
        stages: {evaluate: {labels: {c: z}, env: {TWO: "2"}, accelerator: null, timeout: 2m}}
    """
    settings = profile_of(tmp_path, text).pod_settings("evaluate", loads_model=True)
    assert settings.labels == {"a": "x", "b": "y", "c": "z"}
    assert settings.env == {"ONE": "1", "TWO": "2"}
    assert (settings.timeout, settings.accelerator) == (120, None)
    assert settings.memory is not None
    assert (settings.memory.request, settings.memory.limit) == (None, "3Gi")
    assert profile_of(tmp_path, text).pod_settings("prompt_search", loads_model=True).accelerator is not None
    assert profile_of(tmp_path, text).pod_settings("prompt_search", loads_model=False).labels == {"a": "x", "b": "x"}


@pytest.mark.parametrize("component", component_names())
def test_every_component_says_what_it_needs(component: str) -> None:
    assert (COMPONENTS / component / "component.py").is_file()
    needs = component_defaults(component)
    assert needs != PodSettings()
    assert needs.cpu is not None
    assert needs.memory is not None


def test_no_secret_of_this_machine_is_in_a_compiled_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: Compiled
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@mlflow")
    text = Compiled.of(tmp_path, Options(profile=read_profile(PROFILES / "gpu.yaml"))).text
    assert "hunter2" not in text
    assert text == gpu.text, "what is set on this machine changes nothing"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "data=https://me:hunter2@example.com/rows.jsonl"],
        ["--tracking-uri", "http://me:hunter2@mlflow"],
        ["--image", "https://me:hunter2@registry/image"],
    ],
    ids=["setting", "tracking", "image"],
)
def test_no_address_with_a_password_is_compiled(arguments: list[str], bt: Bt, tmp_path: Path) -> None:
    ended: Any = bt("compile", "--strategy", "p", "-o", "pipeline.yaml", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert re.search("leave (it|them) out", ended.sentence)
    assert "hunter2" not in ended.err
    assert not (tmp_path / "pipeline.yaml").exists()


def test_compile_takes_a_profile(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("image: own-python:4\nmodel_stages: {accelerator: {count: 2}}\n")
    assert bt("compile", "--strategy", "p", "-o", "p.yaml", "--profile", "own.yaml").status == 0
    compiled = Compiled(tmp_path / "p.yaml")
    assert {one["image"] for one in compiled.containers.values()} == {"own-python:4"}
    assert compiled.containers["evaluate"]["resources"]["accelerator"]["resourceCount"] == "2"
    (tmp_path / "own.yaml").write_text("- a list\n")
    assert "holds a list" in bt("compile", "--strategy", "p", "-o", "q.yaml", "--profile", "own.yaml").sentence
