"""The paper's tasks and one without Python, from their data to their report: `p -> w -> p` on the embedded model.

The sizes are those of the packaged `small` configurations: they show that everything runs and measure nothing.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.formats.sweep import Sweep
from bt_core.program import read_program
from bt_core.records import read_jsonl
from tests.tasks.documented import BANKING77

pytestmark = pytest.mark.slow

BT = Path(sys.executable).with_name("bt")
STRATEGY = "p -> w -> p"
#: What the packaged configurations set, for the task that has none.
SMALL = (
    *("rows.train=4", "rows.val=4", "rows.test=6", "decoding.calibration=none", "bootstrap.threshold=0"),
    *("p.candidates=1", "p.max_demos=1", "w.epochs=1", "w.rank=4", "w.min_traces=1"),
)


@dataclass(frozen=True)
class Done:
    """A folder with a sweep for each task, and what the command printed."""

    folder: Path
    out: str

    def sweep(self, task: str) -> dict[str, Any]:
        return Sweep.read(self.folder / task / "sweep.json").content()


def _bt(cwd: Path, *arguments: Any) -> str:
    environment = {**os.environ, CACHE_VARIABLE: ""}
    command = [str(BT), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The paper's three tasks by `bt reproduce`."""
    here = tmp_path_factory.mktemp("reproduced")
    (here / "problems").mkdir()
    for split in ("train", "test"):
        (here / "problems" / f"{split}.jsonl").symlink_to(shared / f"gsm8k_{split}.jsonl")
    questions = shared / "hotpotqa_hard_100.jsonl"
    own = (f"hotpotqa.data={questions}", f"hotpotqa.task_settings.corpus={questions}", "gsm8k.data=problems")
    settings = [part for setting in own for part in ("--set", setting)]
    out = _bt(here, "reproduce", "--size", "small", "--strategies", STRATEGY, "--seeds", "0", *settings, "--out", "out")
    return Done(here / "out", out)


@pytest.fixture(scope="module")
def routed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """BANKING77, declared as the documentation shows."""
    here = tmp_path_factory.mktemp("routed")
    (here / "banking77.yaml").write_text(BANKING77, encoding="utf-8")
    for split in ("train", "test"):
        (here / f"banking77_{split}.csv").symlink_to(shared / f"banking77_{split}.csv")
    settings = [part for setting in SMALL for part in ("--set", setting)]
    arms = ("--strategies", STRATEGY, "--seeds", "0", "--set", "w.headroom_samples=0")
    out = _bt(here, "sweep", "--task", "banking77.yaml", *arms, *settings, "--out", "out/banking77")
    return Done(here / "out", out)


def _check(done: Done, task: str, predictors: set[str]) -> None:
    """A finished sweep of one arm: its steps, its scores, its report and its program."""
    sweep, folder = done.sweep(task), done.folder / task
    assert [node["kind"] for node in sweep["nodes"]] == ["p", "w", "p"]
    (arm,) = sweep["arms"]
    rows = read_jsonl(folder / "scores" / "p-w-p-seed0.jsonl")
    assert len(rows) == sweep["rows"]["test"]
    assert sum(row["score"] for row in rows) / len(rows) == pytest.approx(arm["mean"])
    assert not [row["error"] for row in rows if row["error"] and "Parse" not in row["error"]], "no fault of the program"
    for report in ("report.html", "report.md"):
        assert task in (folder / report).read_text(encoding="utf-8")
    assert read_program(folder / "program").predictors.keys() == predictors


def test_hotpotqa(reproduced: Done) -> None:
    _check(reproduced, "hotpotqa", {"first_query", "second_query", "answer"})
    rows = read_jsonl(reproduced.folder / "hotpotqa" / "results.jsonl")
    found = [row["prediction"] for row in rows if not row["error"]]
    assert any(prediction["context"] for prediction in found), "passages were retrieved"
    assert reproduced.sweep("hotpotqa")["metric"] == "exact_match"


def test_gsm8k(reproduced: Done) -> None:
    _check(reproduced, "gsm8k", {"solve"})
    assert reproduced.sweep("gsm8k")["metric"] == "numeric"


def test_iris(reproduced: Done) -> None:
    _check(reproduced, "iris", {"species"})


def test_the_table_has_all_three(reproduced: Done) -> None:
    for task in ("hotpotqa", "gsm8k", "iris"):
        arm = reproduced.sweep(task)["arms"][0]
        assert f"| {STRATEGY} | {100 * arm['mean']:.1f} (" in reproduced.out
    assert (reproduced.folder / "table1.md").read_text(encoding="utf-8").count("\n## ") == 3


def test_banking77_without_python(routed: Done) -> None:
    _check(routed, "banking77", {"intent"})
    sweep = routed.sweep("banking77")
    assert sweep["task"] == "banking77.yaml"
    labels = sweep["config"]["task_settings"]["known_labels"]["intent"]
    assert len(labels) == 77
    rows = read_jsonl(routed.folder / "banking77" / "results.jsonl")
    assert {row["prediction"]["intent"] for row in rows} <= set(labels)


def test_a_declared_program_is_used_where_its_file_is_not(routed: Done, tmp_path: Path) -> None:
    out = _bt(tmp_path, "predict", routed.folder / "banking77" / "program", "message=My card has not come.", "--json")
    assert json.loads(out)["intent"] in routed.sweep("banking77")["config"]["task_settings"]["known_labels"]["intent"]
