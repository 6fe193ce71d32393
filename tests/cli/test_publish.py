"""`bt publish`, and its bundles used by `bt predict` and `bt run --from`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bt_cli.options.settings import gather
from bt_core.bundle import publish
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.models import resolve_model
from bt_core.program import program_sha256, read_program
from tests.cli.conftest import Bt
from tests.core import conftest as core
from tests.core import toy
from tests.core.programs import finished
from tests.s3 import Server, use

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

ROOT = Path(__file__).parents[2]
TASK = "tests.core.toy:task"


@pytest.fixture(scope="module")
def programs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, model = tmp_path_factory.mktemp("programs"), resolve_model(str(tiny_folder))
    return finished(folder, toy.task, TASK, model), finished(folder, toy.task, TASK, model, seed=1)


@pytest.fixture(autouse=True)
def own_place(programs: tuple[Path, Path], s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BT_S3_PATIENCE", "0")


def test_a_program_is_published_once(programs: tuple[Path, Path], bt: Bt, tmp_path: Path) -> None:
    target = f"s3://data/{tmp_path.name}"
    sha = program_sha256(programs[0])
    first, second = bt("publish", programs[0], target), bt("publish", programs[0], target)
    assert (first.status, first.err) == (0, "")
    use = f"bt predict {target} --task {TASK} KEY=VALUE ..."
    assert first.out == f"Published {target} (program {sha[:12]})\nUse it: {use}\n"
    assert second.status == 0
    assert second.out.startswith(f"Nothing to do: this very program was published there before: {target}")
    refused = bt("publish", programs[1], target)
    assert refused.status == 2
    assert refused.sentence.startswith(f"{target} already holds the program {sha[:12]}: publish to another place")
    copied = json.loads(bt("publish", target, "copy", "--json").out)
    assert (copied["is_new"], copied["program_sha256"]) == (True, sha)
    assert read_program(tmp_path / "copy") == read_program(programs[0])


def test_predict_from_s3_answers_as_from_the_folder(programs: tuple[Path, Path], bt: Bt, tmp_path: Path) -> None:
    target = f"s3://data/{tmp_path.name}"
    assert bt("publish", programs[0], target).status == 0
    answers = [bt("predict", place, "--task", TASK, "thing=old car", "--json") for place in (programs[0], target)]
    assert [answer.status for answer in answers] == [0, 0], answers
    assert answers[0].out == answers[1].out
    assert json.loads(answers[0].out)["colour"] in ("red", "green", "blue")


@pytest.mark.parametrize("command", [["predict", "TARGET", "thing=car"], ["run", "--from", "TARGET"]])
def test_what_is_no_bundle_is_a_sentence(command: list[str], bt: Bt, tmp_path: Path) -> None:
    target = f"s3://data/{tmp_path.name}"
    ended = bt(*[target if part == "TARGET" else part for part in command])
    assert ended.status == 2
    assert ended.sentence.startswith(f"{target} holds no whole bundle (it has no manifest.json)")
    assert not (tmp_path / "runs").exists()


def test_a_program_to_start_from_is_found_wherever_the_run_happens(
    programs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(programs[0].parent)
    relative = gather({"task": TASK, "start": programs[0].name})
    assert relative.config.start == str(programs[0].resolve())
    assert gather({"task": TASK, "start": "s3://data/bundle"}).config.start == "s3://data/bundle"


@pytest.mark.slow
def test_a_run_starts_from_a_bundle(programs: tuple[Path, Path], tmp_path: Path) -> None:
    """In a process of its own, since the tasks of a run find where they are by its folder and environment."""
    start = f"s3://data/{tmp_path.name}"
    publish(programs[0], start)
    command = [str(Path(sys.executable).with_name("bt")), "run", "--from", start, "--strategy", "p", "--out", "out"]
    settings = ["--task", TASK, "--set", "p.candidates=1", "--set", "select=last", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), CACHE_VARIABLE: ""}
    done = subprocess.run(
        [*command, *settings], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["task"], result["config"]["start"]) == (TASK, start)
    made = read_program(tmp_path / "out" / "program")
    assert [step.kind for step in made.lineage] == ["p", "w", "start", "p"]
    assert made.lineage[2].parent == program_sha256(programs[0])
    assert made.adapters.keys() == {"adapter"}
