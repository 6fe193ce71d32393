"""The temporary folder of a run: it goes with the run, and a later run removes what killed ones have left."""

import tempfile
from pathlib import Path

import pytest

from bt_core.shared_files import CLAIM_FILE, claimed
from bt_runner import worker
from bt_runner.worker import SCRATCH, start_worker


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which holds those of a killed run, of one that begins, and of somebody else."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("dead", "alive", "young"):
        (tmp_path / f"{SCRATCH}{name}").mkdir()
    (tmp_path / f"{SCRATCH}dead" / CLAIM_FILE).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CLAIM_FILE).touch()
    return tmp_path


def test_a_run_removes_the_folders_of_dead_runs_and_its_own(temporary: Path) -> None:
    with claimed(temporary / f"{SCRATCH}alive") as is_ours:
        assert is_ours
        with start_worker({}, warm=False):
            assert not (temporary / f"{SCRATCH}dead").exists()
        assert {path.name for path in temporary.iterdir()} == {f"{SCRATCH}alive", f"{SCRATCH}young", "other"}


def test_where_nothing_can_be_locked_nothing_is_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "is_claimed", lambda folder: False)
    with start_worker({}, warm=False):
        assert (temporary / f"{SCRATCH}dead").exists()
