"""`--out` of a run belongs to one process, from the first moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bt_cli import run_folder
from bt_cli.new_folder import new_folder
from bt_cli.run_folder import default_folder
from bt_core.config import Config
from bt_core.errors import ConfigError, UserError
from bt_core.shared_files import CLAIM_FILE, claimed
from tests.cli.conftest import Bt


@pytest.mark.parametrize("command", ["run", "retrain"])
def test_a_folder_that_another_run_is_filling_is_refused(command: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with claimed(tmp_path / "run") as is_ours:
        assert is_ours
        (tmp_path / "run" / "pipeline.yaml").write_text("of the other run")
        before = sorted((tmp_path / "run").iterdir())
        ended = bt(command, "--task", "iris", "--out", "run")
        assert (ended.status, ended.out) == (2, "")
        assert ended.sentence == "The --out folder run is in use by another process: name another one."
        assert sorted((tmp_path / "run").iterdir()) == before


def test_of_runs_that_begin_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    def begin(_: int) -> str:
        try:
            with new_folder(tmp_path / "run", tmp_path / "default") as folder:
                folder.pipeline.write_text("mine")
                return "mine"
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(begin, range(8)))
    assert outcomes.count("mine") == 1
    refusals = ("is in use by another process: name another one.", "already holds a run (pipeline.yaml)")
    assert all(one == "mine" or any(refusal in one for refusal in refusals) for one in outcomes)


def test_the_claim_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    """It had made the folder and its claim, and nothing else."""
    with new_folder(tmp_path / "run", tmp_path):
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CLAIM_FILE]
    with new_folder(tmp_path / "run", tmp_path) as folder:
        assert folder.path == tmp_path / "run"


def fail(out: Path, error: BaseException, *made: str) -> None:
    """A run in a folder that ends with the error, after it has made these folders in it."""
    with new_folder(out, out.parent / "default", "mine") as folder:
        assert folder.arguments.read_text() == "mine"
        for name in made:
            (folder.path / name).mkdir(parents=True)
        raise error


def test_a_mistake_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "new" / "deep" / "run", tmp_path / "there"):
        with pytest.raises(UserError):
            fail(out, UserError("A mistake."))
    assert [path.name for path in tmp_path.iterdir()] == ["there"], "a folder that was there stays, empty"
    assert [path.name for path in (tmp_path / "there").iterdir()] == [CLAIM_FILE]


def test_a_folder_with_outputs_of_a_task_stays(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fail(tmp_path / "run", UserError("A mistake that a later task found."), "artifacts")
    assert (tmp_path / "run" / "artifacts").is_dir()


def test_an_unfinished_run_goes_on_in_its_folder_by_the_same_arguments_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fail(run, KeyboardInterrupt(), "artifacts/prepare", "program")
    with pytest.raises(ConfigError, match="is not empty"), new_folder(run, run, "another"):
        pass
    with new_folder(run, run, "mine") as folder:
        assert not folder.artifacts.exists(), "what the stopped run had computed is in the caches"
        assert not folder.program.exists()
        folder.result.write_text("{}")
    with pytest.raises(ConfigError, match="already holds a run"), new_folder(run, run, "mine"):
        pass


def test_default_folders_of_one_second_have_different_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        @staticmethod
        def now(*_: Any) -> datetime:
            return datetime(2026, 11, 27, 12, 0, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "datetime", Clock)
    default = default_folder(Config(task="iris"), ("p",))
    with new_folder(None, default) as first, new_folder(None, default) as second:
        assert (first.path, second.path) == (tmp_path / default, tmp_path / f"{default}-2")
