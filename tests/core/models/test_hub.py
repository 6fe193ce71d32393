"""A model of the hub: asked for again while the hub fails, and one sentence when it is not to be had."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bt_core.errors import ModelError, WorldError
from bt_core.models import hub as ours
from bt_core.models import resolve_model
from bt_core.retries import Pauses
from tests.core.models.hub_server import COMMIT, NAME, Hub, hub_server


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "pytorch_model.bin"):
        (folder / name).write_text(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ours, "PAUSES", Pauses(first=0.01))
    monkeypatch.setattr(ours, "PATIENCE", 5.0)
    with hub_server(folder) as running:
        _use(running.url, monkeypatch)
        yield running


def _use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_a_hub_that_fails_twice_is_asked_again(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults = [503, 429]
    model = resolve_model(NAME)
    assert (model.id, model.revision) == (NAME, COMMIT)
    assert sorted(path.name for path in model.path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(f"warning: The hub does not give the model `{NAME}` (")
    assert warning.endswith("Asking again for up to 5 s.")


def test_a_hub_that_fails_for_long_is_one_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "PATIENCE", 0.1)
    hub.faults = [503] * 1000
    with pytest.raises(WorldError, match=r"could not be downloaded, .* or fails \(.*\): try again later") as caught:
        resolve_model(NAME)
    assert "\n" not in str(caught.value)
    assert len(hub.asked) > 2


def test_a_hub_that_is_not_there_is_asked_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "PATIENCE", 0.1)
    _use("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(WorldError, match=r"cannot be reached or fails \(.*ConnectError"):
        resolve_model(NAME)


def test_a_model_that_the_hub_does_not_have_is_a_mistake_at_once(hub: Hub) -> None:
    with pytest.raises(ModelError, match=r"^The model `acme/none` is no folder here .*: check the id\.$"):
        resolve_model("acme/none")
    assert len(hub.asked) == 1


def test_without_a_network_on_purpose_nothing_is_tried_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"outgoing traffic has been disabled"):
        resolve_model(NAME)
    assert hub.asked == []
