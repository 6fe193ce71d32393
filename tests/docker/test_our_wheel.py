"""The wheel that we build: it installs no name that a user's repository may have for itself."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a name inside the wheel begins with, and the folder of the repository that it comes from.
RENAMED = {"bt_components": "components", "bt_pipelines": "pipelines"}
BUILD = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel that was built from a copy of the repository, its links included."""
    copy, wheels = (tmp_path_factory.mktemp(name) for name in ("copy", "wheels"))
    for path in [*ROOT.glob("bt_*"), *(ROOT / folder for folder in RENAMED.values())]:
        if path.is_symlink():
            (copy / path.name).symlink_to(path.readlink())
        else:
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "pip", "wheel", *BUILD, "--wheel-dir", wheels, copy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.iterdir()
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_top_level_name_is_ours(names: set[str]) -> None:
    installed = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert installed == {path.name for path in ROOT.glob("bt_*")}


@pytest.mark.parametrize("package", RENAMED)
def test_the_folders_behind_the_links_are_whole(package: str, names: set[str]) -> None:
    folder = ROOT / RENAMED[package]
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".md")]
    assert len(files) > 5
    assert {f"{package}/{path.relative_to(folder).as_posix()}" for path in files} <= names
