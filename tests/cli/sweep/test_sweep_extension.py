"""A sweep in two looks from end to end on a tiny random model: the second adds rows and a seed, and redoes nothing."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_cli.run_folder import SweepFolder
from bt_core.formats.sweep import Sweep
from bt_core.records import read_jsonl
from tests.core import conftest as core

pytestmark = pytest.mark.slow

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[3]
SETTINGS = ("rows.train=8", "w.epochs=1", "w.min_traces=1", "w.rank=2", "p.candidates=2", "p.max_demos=1")


def _bt(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # for tests.core.toy
    environment.pop("BT_RESPONSE_CACHE", None)  # the cache is beside the folders
    return subprocess.run([str(BT), "sweep", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


@dataclass(frozen=True)
class Looks:
    """Two looks in one folder: what the second one printed, and the files of both."""

    folder: Path
    said: str

    def sweep(self, name: str) -> Sweep:
        return Sweep.read(self.folder / name / "sweep.json")

    def examples(self, name: str) -> list[str]:
        return [row["example"] for row in read_jsonl(self.folder / name / "scores" / "vanilla-seed1.jsonl")]


@pytest.fixture(scope="module")
def looks(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Looks:
    folder = tmp_path_factory.mktemp("looks")
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    named = ["--task", "tests.core.toy:task", "--strategies", "p; w", "--seeds", "1,0", "--model", str(tiny_folder)]
    first = _bt(folder, *named, *settings, "--looks", "2", "--out", "first")
    assert first.returncode == 0, first.stderr
    second = _bt(folder, "--extend", "first", "--seeds", "0,1,2", "--test-rows", "12")
    assert second.returncode == 0, second.stderr
    return Looks(folder, second.stdout)


def test_both_looks_are_recorded_with_their_levels(looks: Looks) -> None:
    first, second = looks.sweep("first"), looks.sweep("first-extended")
    assert [(one.look.number, one.look.planned, one.look.total_alpha) for one in (first, second)] == [
        (1, 2, 0.05),
        (2, 2, 0.05),
    ]
    assert (first.alpha, second.alpha) == (pytest.approx(0.01), pytest.approx(0.04))
    assert "first of two planned looks, tested at 1%" in first.verdict.sentence
    assert "second and last of two planned looks, tested at 4%" in second.verdict.sentence
    assert second.verdict.sentence in looks.said
    assert "96% interval" in second.shipped or second.winner is None
    parameters = json.loads((looks.folder / "first-extended" / "arguments.json").read_text())["parameters"]
    assert (parameters["look"], parameters["looks"]) == (2, 2)


def test_the_second_look_has_the_rows_and_seeds_of_the_first_and_more(looks: Looks) -> None:
    first, second = looks.sweep("first"), looks.sweep("first-extended")
    assert (first.seeds, second.seeds) == ((1, 0), (1, 0, 2))
    assert (first.data_seed, second.data_seed) == (1, 1)
    assert [arm.name for arm in second.arms] == [arm.name for arm in first.arms]
    assert (len(looks.examples("first")), len(looks.examples("first-extended"))) == (8, 12)
    assert set(looks.examples("first")) < set(looks.examples("first-extended"))


def test_the_programs_of_the_first_look_are_not_made_again(looks: Looks) -> None:
    first, second = looks.sweep("first"), looks.sweep("first-extended")
    again = [node for node in second.nodes if node.seed in first.seeds]
    assert [(node.stage, node.validation) for node in again] == [(node.stage, node.validation) for node in first.nodes]
    assert all(node.usage.cached_calls == node.usage.calls for node in again)
    made = [node.usage for node in second.nodes if node.seed == 2]
    assert any(usage.cached_calls < usage.calls for usage in made)


def test_the_first_look_cannot_be_extended_a_second_time(looks: Looks) -> None:
    noted: dict[str, Any] = json.loads((looks.folder / "first" / "extension.json").read_text())
    assert noted == {"out": str(looks.folder / "first-extended")}
    assert SweepFolder(looks.folder / "first-extended").has_scored, "so that a failure would not take the note back"
    other = _bt(looks.folder, "--extend", "first", "--test-rows", "10", "--out", "other")
    assert other.returncode == 2
    assert "has been extended once, as it was planned, in" in other.stderr
    assert not (looks.folder / "other").exists()
    third = _bt(looks.folder, "--extend", "first-extended", "--seeds", "0,1,2,3")
    assert third.returncode == 2
    assert "is the second and last look of its plan already" in third.stderr


def test_a_finished_extension_is_shown_again(looks: Looks) -> None:
    again = _bt(looks.folder, "--extend", "first", "--seeds", "0,1,2", "--test-rows", "12", "--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout) == looks.sweep("first-extended").content()
