"""Base models in S3."""

import json
from pathlib import Path

import pytest

from bt_core.errors import DataError, ModelError
from bt_core.models import resolve_model
from bt_core.storage import Store
from tests.faults import proxy_to
from tests.s3 import Server, use


def test_a_model_in_s3_is_the_folder_it_was(
    tiny_folder: Path, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://data/{tmp_path.name}/model"
    Store().upload_folder(tiny_folder, address)
    found = resolve_model(address)
    assert (found.id, found.revision) == (address, resolve_model(str(tiny_folder)).revision)
    assert (found.path / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()
    with proxy_to(s3.endpoint) as proxy:
        use(monkeypatch, proxy.endpoint)
        assert resolve_model(address, found.revision) == found
        assert proxy.requests == 1  # the list of names and etags
    use(monkeypatch, s3.endpoint)
    config = json.loads((tiny_folder / "config.json").read_text()) | {"rope_theta": 1.0}
    Store().write_bytes(json.dumps(config).encode(), f"{address}/config.json")
    assert resolve_model(address).path != found.path
    with pytest.raises(ModelError, match=f"^The base model {address} has revision .*, but the program was made with"):
        resolve_model(address, found.revision)


def test_a_place_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^s3://data/no-model/ holds no objects called \*\.safetensors or"):
        resolve_model("s3://data/no-model")
    Store().write_bytes(b"{}", f"s3://data/{tmp_path.name}/config.json")
    with pytest.raises(ModelError, match=rf"^The model folder s3://data/{tmp_path.name} has no \*\.safetensors"):
        resolve_model(f"s3://data/{tmp_path.name}")
