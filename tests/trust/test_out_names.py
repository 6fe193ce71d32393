"""A run may be called anything: what Kubeflow or MLflow cannot take is changed, or refused before anything runs."""

import json
from pathlib import Path

import pytest

import bt_tracking
from bt_cli.local.run import new_run_id
from bt_cli.run_folder import RunFolder
from bt_cli.view.summary import short
from bt_core.records import StageReport
from tests.cli.conftest import Bt

NAMES = ("it's", 'say "x"', "both '\"", "new\nline", "{{x}}", "ünï 漢字", "-x", "a`b", "a\\b", "x' or tags.a != '")


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_of_a_run_of_any_name_find_their_parent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("BT_TRACKING_RETRY_SECONDS", "0")
    monkeypatch.setenv("BT_RUN_ID", new_run_id(RunFolder(tmp_path / name)))
    ids = {bt_tracking.record(StageReport("1.p", "p", metrics={"a": 1.0}), {}) for _ in range(2)}
    assert len(ids) == 1, "the second time, the stage's run was found again"


def test_an_id_of_the_users_own_may_have_a_quotation_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("BT_RUN_ID", "it's")
    assert bt_tracking.record(StageReport("1.p", "p"), {}) == bt_tracking.record(StageReport("1.p", "p"), {})


@pytest.mark.parametrize("command", ["run", "retrain", "sweep"])
def test_a_placeholder_of_kubeflow_is_refused_before_anything_runs(command: str, bt: Bt, tmp_path: Path) -> None:
    ended = bt(command, "--out", "a/{{$.inputs.parameters['task']}}")
    assert ended.sentence == (
        "The --out folder's path holds `{{$`, which begins a placeholder of Kubeflow: name another."
    )
    assert ended.status == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_shown_like_an_option(bt: Bt, tmp_path: Path) -> None:
    assert short(tmp_path / "-x" / "program") == "./-x/program"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's", 'new\nline "x" {{y}}'])
def test_a_whole_run_of_such_a_name(name: str, tmp_path: Path, tiny_folder: Path) -> None:
    from tests.cli.test_run import _run

    done = _run(tmp_path, tiny_folder, "--out", name, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shipped"] == "1.w"
    assert (tmp_path / name / "program" / "program.json").is_file()
