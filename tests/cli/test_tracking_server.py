"""Which MLflow a run is recorded in."""

from pathlib import Path

import pytest

from bt_cli.local.run import task_environment
from bt_cli.run_folder import RunFolder

VARIABLE = "MLFLOW_TRACKING_URI"


def _server(folder: Path, named: str | None) -> str:
    return task_environment(RunFolder(folder / "one"), "p", "one-1", named, cache=False)[VARIABLE]


def test_the_option_comes_before_the_variable_and_both_before_a_local_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert _server(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv(VARIABLE, "http://of-the-team:5000")
    assert _server(tmp_path, None) == "http://of-the-team:5000"
    assert _server(tmp_path, "http://mine:5000") == "http://mine:5000"
