"""Profiles: what is refused, every mistake at once and as one sentence, and what is taken."""

from pathlib import Path

import pytest

from bt_core.errors import ConfigError
from bt_pipelines.pods.profile import Profile, read_profile


def profile_of(folder: Path, text: str) -> Profile:
    (folder / "profile.yaml").write_text(text)
    return read_profile(folder / "profile.yaml")


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("{memory: {limit: 4000000K}}", "memory.limit` must be bytes with a unit"),
        ("{tolerations: [{key: gpu, operator: Exists, effect: NoSchedule, seconds: 60}]}", "need `effect: NoExecute`"),
        ("{tolerations: [{key: a gpu, operator: Exists}]}", "`every_stage.tolerations.0.key` must be at most 63"),
        ("{tolerations: [{key: gpu, value: a gpu}]}", "`every_stage.tolerations.0.value` must be a label"),
        ("{labels: {a team: nlp}}", "must be at most 63 letters"),
        ("{labels: {Example.com/team: nlp}}", "after a domain and `/` or without one"),
        (f"{{annotations: {{{'a' * 64}: x}}}}", "must be at most 63 letters"),
        ("{node_selector: {a/b/c: x}}", "must be at most 63 letters"),
        ("{accelerator: {type: NVIDIA GPU}}", "`every_stage.accelerator.type` must be at most 63"),
        ("{env: {A-B: x}}", "must be the name of an environment variable"),
        ("{retries: {count: 1, factor: 1.5}}", "`every_stage.retries.factor` is 1.5, but"),
        ("{retries: {count: 1, factor: 0}}", "`every_stage.retries.factor` is 0, but"),
        ("{retries: {count: 1, longest: 1h}}", "`every_stage.retries.longest` is no setting"),
        ("{retries: {count: 20}}", "`every_stage.retries` would wait 364 days in all, and at most 7 are possible"),
        ("{retries: {count: true}}", "`every_stage.retries.count` is True, but input should be a number"),
        ("{retries: {count: 1, factor: 5000}}", "`every_stage.retries.factor` is 5000, but"),
        ("{cpu: {request: \u0662}}", "`every_stage.cpu.request` must be cores: 2, 0.5 or 500m"),
        ("{cpu: {limit: \u0665\u0660\u0660m}}", "`every_stage.cpu.limit` must be cores"),
        ("{memory: {limit: \u0668Gi}}", "`every_stage.memory.limit` must be bytes with a unit"),
        ("{timeout: \u0663\u0660m}", "`every_stage.timeout` must be a time above zero"),
        ("{timeout: 99999999999}", "`every_stage.timeout` must be a time above zero"),
        (f"{{cpu: {{limit: '{'9' * 5000}'}}}}", "`every_stage.cpu.limit` must be cores"),
        ("{cpu: {request: 4, limit: 2}}", "`every_stage.cpu` has a request above its limit"),
        ("{cpu: {request: 1500m, limit: 1}}", "`every_stage.cpu` has a request above its limit"),
        ("{memory: {request: 8Gi, limit: 8G}}", "`every_stage.memory` has a request above its limit"),
        ("{memory: {request: 1025Mi, limit: 1Gi}}", "`every_stage.memory` has a request above its limit"),
    ],
)
def test_what_the_cluster_would_refuse_in_the_pod_is_refused_here(stage: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text(f"every_stage: {stage}\n")
    with pytest.raises(ConfigError) as caught:
        read_profile(tmp_path / "profile.yaml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("1 mistake in the profile ")


@pytest.mark.parametrize("claim", ["models.v1", "m" * 64, "-models", "Models"])
def test_a_claim_is_named_so_that_its_volume_can_be(claim: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`model_cache.claim` must be at most 63 of a-z, 0-9 and `-`, without dots"):
        profile_of(tmp_path, f"model_cache: {{claim: {claim}}}")


@pytest.mark.parametrize(
    "text",
    [
        "image_pull_secrets: [a..b]",
        f"secrets: [{{name: {'s' * 254}, env: {{X: key}}}}]",
        "secrets: [{name: a, env: {X: a key}}]",
        "config_maps: [{name: a_b, env: {X: key}}]",
        "config_maps: [{name: a, env: {X: ..}}]",
        "model_cache: {claim: models, sub_path: /models}",
        "model_cache: {claim: models, sub_path: a/../b}",
    ],
)
def test_names_in_the_cluster_are_ones_that_it_takes(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^1 mistake in the profile .* must be "):
        profile_of(tmp_path, text)


@pytest.mark.parametrize(
    "stage",
    [
        "{cpu: {request: 500m, limit: 0.5}}",
        "{memory: {request: 1024Mi, limit: 1Gi}}",
        "{memory: {request: 8G, limit: 8Gi}}",
    ],
)
def test_a_request_may_be_its_limit_in_another_unit(stage: str, tmp_path: Path) -> None:
    profile_of(tmp_path, f"every_stage: {stage}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image: a\nimage: b\n", "line 2: broken YAML (the key image is there twice)"),
        ("ttl: .inf\n", "line 1: broken YAML (.inf is no finite number)"),
        ("image: a\nttl: 2024-13-45\n", "line 2: broken YAML (2024-13-45 is no timestamp)"),
        (f"image: {'[' * 3000}", "line 1: broken YAML (it is nested more than 100 levels deep)"),
    ],
    ids=["key-twice", "infinity", "date", "deep"],
)
def test_a_hostile_file_is_refused_with_its_line(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        profile_of(tmp_path, text)
    assert reason in str(caught.value)


def test_what_the_cluster_takes_is_taken(tmp_path: Path) -> None:
    text = f"""
        image_pull_secrets: [registry.login-1]
        model_cache: {{claim: {"m" * 63}, sub_path: a..b/c}}
        secrets: [{{name: a.b, env: {{_X1: tls.crt}}}}]
        every_stage:
          labels: {{example.com/team: nlp_2, "{"k" * 63}": ""}}
          annotations: {{example.com/note: any text at all}}
          node_selector: {{topology.kubernetes.io/zone: eu-1a}}
          tolerations: [{{operator: Exists}}]
          retries: {{count: 4, backoff: 1h, factor: 2}}
    """
    profile = profile_of(tmp_path, text)
    assert profile.model_cache is not None
    assert profile.every_stage.retries is not None


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = """
        imag: x
        tracking_uri: https://me:hunter2@mlflow.example.com
        ttl: soon
        model_cache: {claim: Models, path: models}
        every_stage:
          env: {HF_TOKEN: hunter2, KFP_RUN_ID: x, SOME_URL: "http://me:hunter2@host"}
          cpu: {request: two}
          memory: {limit: 4 GB}
          node_selector: {gpu: true}
          tolerations: [{operator: Exists, value: x}, {value: y}]
          timeout: 0
          retries: {count: 50}
        secrets: [{name: a, env: {}}]
        stages: {lora: {}}
    """
    with pytest.raises(ConfigError) as caught:
        profile_of(tmp_path, text)
    sentence = str(caught.value)
    assert sentence.startswith("15 mistakes in the profile ")
    wrong = ("`imag` is no setting", "`tracking_uri` holds a user", "`ttl` must be", "`model_cache.claim` must be",
             "`model_cache.path` must be", "`every_stage.env` may not set KFP_RUN_ID", "HF_TOKEN, SOME_URL, a secret",
             "`every_stage.cpu.request` must be cores", "`every_stage.memory.limit` must be bytes",
             "`every_stage.node_selector.gpu` is True", "`every_stage.tolerations.0` has a value",
             "`every_stage.tolerations.1` has no key", "`every_stage.timeout` must be a time above zero",
             "`every_stage.retries.count` is 50", "`secrets.0.env` is {}", "`stages` has lora, but")  # fmt: skip
    assert [part for part in wrong if part not in sentence] == []
    assert "hunter2" not in sentence


def test_a_variable_has_one_source(tmp_path: Path) -> None:
    text = "secrets: [{name: a, env: {X: k, BT_CACHE: k}}]\nconfig_maps: [{name: b, env: {X: k}}]"
    with pytest.raises(ConfigError, match="BT_CACHE, X would be set twice: keep one of the places"):
        profile_of(tmp_path, text)


@pytest.mark.parametrize(
    "variable", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "BT_WEBHOOK_URL"]
)
def test_a_secret_is_refused_as_environment(variable: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"may not hold {variable}") as caught:
        profile_of(tmp_path, f"stages: {{evaluate: {{env: {{{variable}: hunter2}}}}}}")
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_only_sounds_like_a_secret_is_accepted(tmp_path: Path) -> None:
    plain = {"TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "64", "SOME_URL": "http://host/a@b"}
    assert profile_of(tmp_path, f"every_stage: {{env: {plain}}}").every_stage.env == plain
