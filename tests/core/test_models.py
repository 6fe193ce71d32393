"""The cache of base models: where it is, and what happens when several processes fill it."""

from pathlib import Path

import pytest

from bt_core.errors import WorldError
from bt_core.models import EMBEDDED_MODEL, STAMP, cache_dir, keep, resolve_model


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
