"""`bt export`: the folder, its name and files on the screen, and one sentence where it cannot be written."""

import json
from pathlib import Path

import pytest

from bt_core.models import resolve_model
from tests.cli.conftest import Bt
from tests.core import conftest as core
from tests.core import toy
from tests.core.programs import finished

MINE = ("--task", "tests.core.toy:task")
embedded_model, tiny_folder = core.embedded_model, core.tiny_folder


@pytest.fixture(scope="module")
def program(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    return finished(folder, toy.task, "tests.core.toy:task", resolve_model(str(tiny_folder)))


def test_a_program_is_exported(program: Path, bt: Bt, tmp_path: Path) -> None:
    done = bt("export", program, "out", "--base-model", "acme/tiny@main", "--kserve", "s3://models/toy", *MINE)
    assert (done.status, done.out) == (0, "Exported 10 files to out\nRead how to use them: out/README.md\n")
    told = json.loads(bt("export", program, "again", "--base-model", "acme/tiny@main", "--json", *MINE).out)
    assert told["folder"] == "again"
    assert {"serve.py", "state.json", "adapters/adapter/adapter_config.json"} <= set(told["files"])
    assert "llminferenceservice.yaml" not in told["files"]
    assert (tmp_path / "again/README.md").is_file()


def test_a_base_model_that_others_lack_is_asked_for(program: Path, bt: Bt) -> None:
    refused = bt("export", program, "out", *MINE)
    assert refused.status == 2
    assert refused.sentence.endswith("name it on the hub with --base-model ORG/NAME@REVISION.")


def test_a_task_of_the_users_own_is_named(program: Path, bt: Bt) -> None:
    refused = bt("export", program, "out", "--base-model", "acme/tiny@main")
    assert refused.status == 2
    assert "names the task `tests.core.toy:task`" in refused.sentence
    assert not Path("out").exists()
