"""`bt check`, as a shell calls it: what a person sees, what a machine reads, and the status it leaves with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bt
from tests.core import conftest as core

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")


@pytest.fixture
def tickets(bt: Bt, tmp_path: Path) -> Path:
    """A folder with the package that `bt init` writes."""
    assert bt("init", "tickets").status == 0
    return tmp_path


def _check(cwd: Path, model: Path, *more: Any) -> subprocess.CompletedProcess[str]:
    command = [str(BT), "check", "tickets", "--model", str(model), *map(str, more)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_person_sees_prompts_answers_findings_and_costs(tickets: Path, tiny_folder: Path) -> None:
    done = _check(tickets, tiny_folder, "--strategies", "p; w -> p")
    assert done.returncode == 0, done.stderr
    assert f"tickets on {tiny_folder}; predictors: gist, route" in done.stdout
    assert done.stdout.count("Say in a few words what the customer wants.") == 3
    assert done.stdout.count("closed answer") == 3
    assert "prediction  team=" in done.stdout
    assert "What it costs at most, with 24 / 24 / 24 rows" in done.stdout
    assert [line.split("\u2502")[1].strip() for line in done.stdout.splitlines() if "\u2502 w -> p" in line] == [
        "w -> p"
    ]
    assert "Traceback" not in done.stderr


def test_the_task_may_be_named_as_other_commands_do_but_once(bt: Bt) -> None:
    for arguments in ((), ("toy", "--task", "toy")):
        done = bt("check", *arguments)
        assert (done.status, done.err) == (
            2,
            "bt: `bt check` takes one task: name it, as in `bt check continents`, or by --task.\n",
        )
    named = [bt("check", *task, "--data", "nowhere.jsonl").err for task in (("continents",), ("--task", "continents"))]
    assert named[0] == named[1] != ""
    assert "nowhere.jsonl" in named[0]


def test_what_the_metric_says_is_shown(tickets: Path, tiny_folder: Path) -> None:
    metric = tickets / "tickets" / "metric.py"
    text = metric.read_text().replace(
        "bool(prediction.team == example.team)", "dspy.Prediction(score=0.0, feedback=f'{example.team} is no team.')"
    )
    metric.write_text("import dspy\n" + text)
    done = _check(tickets, tiny_folder)
    assert len(re.findall(r"^feedback +.+ is no team\.", done.stdout, re.MULTILINE)) == 3, done.stdout


def test_a_machine_reads_json_and_status_2_where_a_run_would_be_spoilt(tickets: Path, tiny_folder: Path) -> None:
    metric = tickets / "tickets" / "metric.py"
    metric.write_text(metric.read_text().replace("bool(prediction.team == example.team)", "True"))
    done = _check(tickets, tiny_folder, "--json")
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert report["is_spoilt"] is True
    assert report["findings"][0] == {
        "severity": "mistake",
        "sentence": "The metric is 1 whatever the answer: it gives 1 to the labels of other rows too.",
    }
    assert [cost["strategy"] for cost in report["costs"]] == ["p", "w", "p -> w", "p -> w -> p"]
    assert {one["predictor"] for run in report["runs"] for one in run["asked"]} == {"gist", "route"}
