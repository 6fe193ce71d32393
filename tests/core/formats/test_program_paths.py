"""The adapters of a program lie in its folder: no path and no symbolic link leads out of it, read or written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.errors import ProgramError
from bt_core.program import AdapterRef, PredictorState, Program, adapter_sha256, read_program, write_program
from tests.adapter_files import adapter_files

#: `{outside}` stands for an absolute path of a folder that holds an adapter.
LEADING_OUT = ["../side", "{outside}", "a/../../side", "..", ".", "", "a//b", "a\\b", "a\nb", "a" * 300]
#: Names of files that the program directory holds besides.
OTHER_FILES = ["program.json", "manifest.json/a", "README.md", "best", "a/adapter_config.json"]


@pytest.fixture
def side(tmp_path: Path) -> Path:
    """An adapter beside the program's folder."""
    return adapter_files(tmp_path / "side")


@pytest.fixture
def folder(tmp_path: Path, side: Path) -> Path:
    """A program's folder."""
    write_program(_with_adapter("adapter", side), tmp_path / "program", {"adapter": side})
    return tmp_path / "program"


def _with_adapter(path: str, side: Path) -> Program:
    return Program(
        "t", "m", "r", {"x": PredictorState("Do it.", (), (), adapter=AdapterRef(path, adapter_sha256(side)))}
    )


@pytest.mark.parametrize("path", [*LEADING_OUT, *OTHER_FILES])
def test_a_program_with_such_a_path_is_not_read(path: str, folder: Path, side: Path) -> None:
    content = json.loads((folder / "program.json").read_text())
    content["predictors"]["x"]["adapter"]["path"] = path.format(outside=side)
    (folder / "program.json").write_text(json.dumps(content))
    for verify in (True, False):
        with pytest.raises(ProgramError, match=r"is damaged \(`predictors\.x\.adapter\.path` is .* and should "):
            read_program(folder, verify)


@pytest.mark.parametrize("path", [*LEADING_OUT, *OTHER_FILES])
def test_a_program_with_such_a_path_is_not_written(path: str, side: Path, tmp_path: Path) -> None:
    path = path.format(outside=side)
    source = adapter_files(tmp_path / "peft", b"other weights")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ProgramError, match=r"cannot be written to program\.json \(`predictors\.x\.adapter\.path` is "):
        write_program(_with_adapter(path, side), tmp_path / "deep" / "program", {path: source})
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not (tmp_path / "deep").exists()


def test_a_program_that_could_not_be_read_back_is_not_written(folder: Path) -> None:
    before = (folder / "program.json").read_bytes()
    program = read_program(folder)
    wrong = replace(program, predictors={"x": PredictorState("Do it.", (), (), label_prior={"a": float("nan")})})
    with pytest.raises(ProgramError, match=r"^The program cannot be written to program\.json \("):
        write_program(wrong, folder)
    assert (folder / "program.json").read_bytes() == before


@pytest.mark.parametrize("linked", ["adapter", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_symbolic_link_that_leads_out_is_refused(linked: str, verify: bool, folder: Path, side: Path) -> None:
    """The bytes behind it are the right ones, but what they will be later nobody has checked."""
    _replace_by_link(folder / linked, side / Path(linked).relative_to("adapter"))
    with pytest.raises(
        ProgramError, match=r"is a symbolic link that leads out of .*: put a copy of what it stands for"
    ):
        read_program(folder, verify)


def test_a_program_file_that_is_a_symbolic_link_out_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes((folder / "program.json").read_bytes())
    _replace_by_link(folder / "program.json", tmp_path / "other.json")
    with pytest.raises(ProgramError, match=r"program\.json is a symbolic link that leads out of"):
        read_program(folder)


def test_a_symbolic_link_inside_the_folder_is_followed(folder: Path, side: Path) -> None:
    shutil.copytree(side, folder / "copy")
    _replace_by_link(folder / "adapter", folder / "copy")
    assert set(read_program(folder).adapters) == {"adapter"}


def _replace_by_link(path: Path, target: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)
