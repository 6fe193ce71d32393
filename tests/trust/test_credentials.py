"""No password or key is printed, compiled or stored, and each goes only to what it is for."""

from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig, resolve_config
from bt_core.engine.remote.endpoint import Endpoint
from bt_core.errors import BtError, ConfigError
from bt_core.metrics import judge
from bt_core.storage import Store
from bt_core.task import load_task
from bt_core.trust.credentials import FOREIGN, has_credentials, redact
from tests.cli.conftest import Bt
from tests.s3 import use
from tests.tasks.service import Service, serving
from tests.trust.conftest import DECLARED, SECRET

WITH_SECRET = (
    f"http://user:{SECRET}@host/v1",
    f"http://{SECRET}@host:8000/v1",
    f"http://user:pass/{SECRET}@host/v1",
    f"https://host/v1?key={SECRET}",
    f"https://host/v1?version=1&api_key={SECRET}",
    f"https://host/v1?X-Amz-Signature={SECRET}",
    f"https://host/v1?access-token={SECRET}",
    f"https://host/v1?sig={SECRET}",
)
WITHOUT = ("http://host:8000/v1", "http://[::1]:8000/v1", "https://host/v1?api-version=1", "http://host/a?design=new")


def _judge_task(**metric: str) -> Any:
    return load_task("spy.yaml", {**DECLARED, "metric": {"kind": "judge", "model": "m", **metric}})


PLACES: dict[str, Any] = {
    "engine.url": lambda url: resolve_config({"task": "x", "engine": {"kind": "server", "url": url}}),
    "teacher.engine.url": lambda url: resolve_config({"task": "x", "teacher": {"engine": {"url": url}}}),
    "data": lambda url: resolve_config({"task": "x", "data": url}),
    "model": lambda url: resolve_config({"task": "x", "model": url}),
    "start": lambda url: resolve_config({"task": "x", "start": url}),
    "metric.endpoint": lambda url: _judge_task(endpoint=url),
    "judge": lambda url: judge("answer", url, "m"),
    "retriever": lambda url: load_task("hotpotqa", {"retriever": url}),
    "corpus": lambda url: load_task("hotpotqa", {"corpus": url}),
}


@pytest.mark.parametrize("url", WITH_SECRET)
@pytest.mark.parametrize("place", PLACES)
def test_an_address_with_a_secret_is_refused_without_it(place: str, url: str) -> None:
    with pytest.raises(ConfigError, match="holds a ") as refused:
        PLACES[place](url)
    assert SECRET not in str(refused.value)
    assert "leave it out" in str(refused.value)


@pytest.mark.parametrize("url", WITHOUT)
def test_other_addresses_are_none_of_this(url: str) -> None:
    assert not has_credentials(url)
    for place in PLACES.values():
        place(url)


@pytest.mark.parametrize("url", WITH_SECRET)
def test_a_mistake_elsewhere_does_not_repeat_the_secret(url: str, bt: Bt) -> None:
    for setting in (f"seed={url}", f"engine={url}", f"rows.train={url}"):
        ended = bt("run", "--set", setting)
        assert (ended.status, SECRET in ended.err) == (2, False), ended.err
    assert SECRET not in redact(f"no server at {url}")


@pytest.mark.parametrize("url", WITH_SECRET)
def test_nothing_of_it_is_compiled(url: str, bt: Bt, tmp_path: Path) -> None:
    for options in (["--tracking-uri", url], ["--set", f"engine.url={url}"], ["--set", f"task_settings.x={url}"]):
        ended = bt("compile", "--strategy", "p", "--task", "continents", "-o", "pipeline.yaml", *options)
        assert (ended.status, SECRET in ended.err + ended.out) == (2, False), ended.err
    assert not (tmp_path / "pipeline.yaml").exists()


def test_the_address_of_a_server_of_runs_is_printed_without_it(bt: Bt) -> None:
    ended = bt("open", f"http://user:{SECRET}@127.0.0.1:1")
    assert (ended.status, SECRET in ended.err) == (1, False)


def test_the_address_of_the_store_is_printed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in (f"http://user:{SECRET}@127.0.0.1:1", f"user:{SECRET}@127.0.0.1", f"http://u:{SECRET}@host:x"):
        use(monkeypatch, endpoint)
        with pytest.raises(BtError) as refused:
            Store(patience=0.0).read_bytes("s3://bucket/key")
        assert SECRET not in str(refused.value)


FOREIGN_KEYS = (
    *("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GOOGLE_API_KEY", "AZURE_CLIENT_SECRET"),
    *("GITHUB_TOKEN", "GH_TOKEN", "KUBECONFIG", "KF_PIPELINES_TOKEN", "MLFLOW_TRACKING_PASSWORD", "SSH_AUTH_SOCK"),
)


@pytest.mark.parametrize("name", FOREIGN_KEYS)
def test_a_key_of_another_service_is_sent_to_no_endpoint(name: str) -> None:
    assert name.startswith(FOREIGN)
    sentence = f"names {name}, whose name says that it holds a secret of another service: put the endpoint's own key"
    engine = {"kind": "server", "url": "http://host/v1", "key_variable": name}
    with pytest.raises(ConfigError, match=rf"`engine\.key_variable` {sentence}"):
        resolve_config({"task": "x", "engine": engine})
    with pytest.raises(ConfigError, match=rf"`teacher\.engine\.key_variable` {sentence}"):
        resolve_config({"task": "x", "teacher": {"engine": engine}})
    with pytest.raises(ConfigError, match=rf"`metric\.key_variable` {sentence}"):
        _judge_task(endpoint="http://host", key_variable=name)
    with pytest.raises(ConfigError, match=f"The judge's `key_variable` {sentence}"):
        judge("answer", "http://host", "m", key_variable=name)


def test_a_key_in_place_of_its_variable_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="must be the name of an environment variable, in capitals") as refused:
        resolve_config({"task": "x", "engine": {"key_variable": f"sk-{SECRET}"}})
    assert SECRET not in str(refused.value)


def test_the_users_own_judge_and_endpoint_are_fine() -> None:
    assert _judge_task(endpoint="http://judge/v1", key_variable="JUDGE_KEY").name == "spy"
    engine = {"kind": "server", "url": "http://host/v1", "key_variable": "OPENAI_API_KEY"}
    assert resolve_config({"task": "x", "engine": engine}).engine.key_variable == "OPENAI_API_KEY"


@pytest.fixture
def endpoint() -> Any:
    with serving(lambda _: {"data": [{"id": "m"}]}) as service:
        yield service


def test_what_the_environment_sets_for_openai_goes_to_no_endpoint(
    endpoint: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "endpoint-key")
    custom = f"X-Secret: {SECRET}\nAuthorization: Bearer {SECRET}\nauthorization: {SECRET}\nCookie: {SECRET}"
    variables = ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET")
    for name in variables:
        monkeypatch.setenv(f"OPENAI_{name}", SECRET)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", custom)
    for settings, sent in (({"key_variable": "MY_KEY"}, "Bearer endpoint-key"), ({}, "Bearer none")):
        Endpoint(EngineConfig(kind="server", url=f"{endpoint.url}/v1", **settings), "m").card()
        headers = endpoint.requests[-1].headers
        assert headers.get_all("authorization") == [sent]
        assert SECRET not in str(headers)
        assert "openai-organization" not in {name.lower() for name in headers}
