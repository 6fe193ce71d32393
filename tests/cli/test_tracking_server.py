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


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("sqlite:///my.db", "my.db"),
        ("sqlite:///sub/my.db", "sub/my.db"),
        ("sqlite:///./my.db?timeout=5", "./my.db?timeout=5"),
    ],
)
@pytest.mark.parametrize("as_variable", [True, False], ids=["variable", "option"])
def test_a_relative_store_is_where_bt_was_started(
    named: str, path: str, as_variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks run in folders of their own."""
    here = tmp_path / "100%25 here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv(VARIABLE, named if as_variable else "http://of-the-team:5000")
    assert _server(tmp_path, None if as_variable else named) == f"sqlite:///{tmp_path}/100%2525 here/{path}"


@pytest.mark.parametrize(
    "named", ["sqlite:////abs/my.db", "sqlite://", "sqlite:///:memory:", "postgresql://h/db", "s3:"]
)
def test_other_addresses_stay(named: str, tmp_path: Path) -> None:
    assert _server(tmp_path, named) == named
