"""Which of two modules of one name is imported: the user's, unless the name is that of a package of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bt_core.user_code import TASK_PATH_VARIABLE, task_path

TRAP = "raise RuntimeError('this folder was imported in the place of our package')\n"


def _python(cwd: Path, code: str, **variables: str) -> str:
    """What a program prints that does not look into the current folder by itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    call = f"from bt_core.user_code import add_user_folders; add_user_folders(); {code}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", call], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _package(folder: Path, name: str, text: str = "") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["bt_report", "bt_tasks", "bt_runtime", "bt_components"])
def test_our_packages_are_found_where_they_are_installed(name: str, tmp_path: Path) -> None:
    _package(tmp_path, name, TRAP)
    assert _python(tmp_path, f"import {name}; print({name}.__name__)") == name


def test_a_users_package_may_begin_as_ours_do(tmp_path: Path) -> None:
    _package(tmp_path, "bt_of_a_user", "NAME = 'mine'\n")
    assert _python(tmp_path, "import bt_of_a_user; print(bt_of_a_user.NAME)") == "mine"


def test_a_users_package_comes_before_an_installed_one_of_its_name(tmp_path: Path) -> None:
    _package(tmp_path / "installed", "tests", "OF = 'a library'\n")
    here = _package(tmp_path / "here", "tests", "OF = 'the user'\n")
    code = "import tests; print(tests.OF)"
    assert _python(here, f"import sys; sys.path.insert(1, {str(tmp_path / 'installed')!r}); {code}") == "the user"


def test_the_folders_of_the_caller_are_found_elsewhere_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callers, library, elsewhere = (tmp_path / name for name in ("callers", "library", "elsewhere"))
    _package(callers, "of_the_caller")
    _package(library, "of_the_library")
    elsewhere.mkdir()
    monkeypatch.chdir(callers)
    monkeypatch.syspath_prepend(str(library))
    assert task_path().split(os.pathsep)[:2] == [str(callers), str(library)]
    assert not [folder for folder in task_path().split(os.pathsep) if folder.startswith(sys.prefix)]
    code = "import of_the_caller, of_the_library; print('found')"
    assert _python(elsewhere, code, **{TASK_PATH_VARIABLE: task_path()}) == "found"


def test_what_the_users_code_starts_does_not_inherit_the_folders(tmp_path: Path) -> None:
    code = f"import os; print({TASK_PATH_VARIABLE!r} in os.environ, 'PYTHONSAFEPATH' in os.environ)"
    assert _python(tmp_path, code, **{TASK_PATH_VARIABLE: str(tmp_path)}) == "False False"


TASK = """
import mlflow

from tests.core import toy

mlflow.set_tracking_uri("sqlite:///elsewhere.db")
mlflow.set_experiment("my-dspy-work")
task = toy.task
"""


def test_what_a_users_module_does_to_mlflow_does_not_change_where_tasks_record(tmp_path: Path) -> None:
    (tmp_path / "triage.py").write_text(TASK)
    code = (
        "import os, mlflow; from bt_core.task import load_task; load_task('triage:task');"
        " print(sorted((k, v) for k, v in os.environ.items() if k in ('MLFLOW_TRACKING_URI', 'MLFLOW_EXPERIMENT_ID')),"
        " mlflow.get_tracking_uri())"
    )
    root = str(Path(__file__).parents[3])
    variables = {"MLFLOW_TRACKING_URI": "sqlite:///ours.db", TASK_PATH_VARIABLE: os.pathsep.join([str(tmp_path), root])}
    assert _python(tmp_path, code, **variables).splitlines()[-1] == (
        "[('MLFLOW_TRACKING_URI', 'sqlite:///ours.db')] sqlite:///elsewhere.db"
    )
