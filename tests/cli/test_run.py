"""`bt run` from end to end on a tiny random model: what it leaves behind, and what can be done with that."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.formats.run_result import RunResult
from bt_core.program import read_program
from bt_core.records import read_jsonl
from bt_tracking.server import free_port
from tests.core import conftest as core

pytestmark = pytest.mark.slow

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[2]
#: A task that is none of ours is named to every command.
NAMED = ("--task", "tests.core.toy:task")
SETTINGS = ("w.epochs=1", "w.min_traces=1", "w.rank=2", "select=last")
OWN_TASK = """
from dataclasses import replace

import dspy

from tests.core import toy

task = replace(toy.task, name="own", metric=lambda example, prediction: None)
other_fields = replace(toy.task, program=lambda: dspy.Predict("thing -> colour"))
"""


@dataclass(frozen=True)
class Run:
    """A folder that `bt run` filled, and what it printed."""

    folder: Path
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        return RunResult.read(self.folder / "result.json").content()


def _bt(cwd: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), CACHE_VARIABLE: ""}  # the path is for tests.core.toy
    command = [str(BT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _run(cwd: Path, model: Path, *more: Any, task: str = "tests.core.toy:task") -> subprocess.CompletedProcess[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return _bt(cwd, "run", "--task", task, "--strategy", "w", "--model", model, *settings, *more)


@pytest.fixture(scope="module")
def runs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The same run twice, for a machine and for a person; both compute everything, the first one keeps it."""
    here = tmp_path_factory.mktemp("runs")
    ways = (("one", ["--json"]), ("two", ["--no-cache"]))
    done = [_run(here, tiny_folder, "--out", name, *more) for name, more in ways]
    assert [run.returncode for run in done] == [0, 0], done[0].stderr + done[1].stderr
    first, second = (Run(here / name, run.stdout, run.stderr) for name, run in zip(("one", "two"), done, strict=True))
    return first, second


def test_json_is_result_json_alone(runs: tuple[Run, Run]) -> None:
    assert json.loads(runs[0].out) == runs[0].result


def test_result_json_has_the_keys_that_others_read(runs: tuple[Run, Run]) -> None:
    result = runs[0].result
    assert (result["strategy"], result["task"], result["seed"]) == ("w", "tests.core.toy:task", 0)
    (step,) = result["steps"]
    assert step["kind"] == "w"
    assert step.keys() >= {"validation", "seconds", "lm_calls", "prompt_tokens", "completion_tokens", "traces_kept"}
    assert step["lm_calls"] > 0
    test = result["test"]
    assert test.keys() >= {"vanilla", "final", "difference", "rows"}
    low, high = test["difference"]["ci95"]
    assert low <= test["difference"]["mean"] <= high
    assert test["difference"]["mean"] == pytest.approx(test["final"] - test["vanilla"])
    assert Path(result["program"]) == runs[0].folder / "program"
    assert result["mlflow"].keys() >= {"prepare", "1.bootstrap", "1.w", "evaluate"}


def test_every_test_example_is_written(runs: tuple[Run, Run]) -> None:
    rows = read_jsonl(runs[0].folder / "results.jsonl")
    test = runs[0].result["test"]
    assert len(rows) == test["rows"]
    for name in ("vanilla", "final"):
        assert sum(row[name]["score"] for row in rows) / len(rows) == pytest.approx(test[name])


def test_two_runs_with_one_seed_give_one_program(runs: tuple[Run, Run]) -> None:
    first, second = (_bytes(run.folder / "program") for run in runs)
    assert first == second
    assert "adapter/adapter_model.safetensors" in first


@pytest.fixture(scope="module")
def rerun(runs: tuple[Run, Run], tiny_folder: Path) -> Run:
    """The first run once more, beside it."""
    here = runs[0].folder.parent
    done = _run(here, tiny_folder, "--out", "three")
    assert done.returncode == 0, done.stderr
    return Run(here / "three", done.stdout, done.stderr)


def test_a_finished_run_runs_again_without_a_model(runs: tuple[Run, Run], rerun: Run) -> None:
    (first,), (again,) = runs[0].result["steps"], rerun.result["steps"]
    assert again["cached_calls"] == again["lm_calls"] == first["lm_calls"]
    assert again["computed_prompt_tokens"] == 0
    assert f"({again['lm_calls']})" in rerun.out
    asked = re.findall(r"(\d+) LM calls \((\d+) from the cache\)", rerun.err)
    assert len(asked) == 3, "bootstrap, w and evaluate"
    assert all(calls == cached for calls, cached in asked)
    assert [_trained_from_cache(run) for run in (*runs, rerun)] == [0.0, 0.0, 1.0]
    assert _bytes(rerun.folder / "program") == _bytes(runs[0].folder / "program")
    assert read_jsonl(rerun.folder / "results.jsonl") == read_jsonl(runs[0].folder / "results.jsonl")


def _trained_from_cache(run: Run) -> float:
    """The metric of the weight step, as Kubeflow shows it."""
    files = [json.loads(path.read_text()) for path in (run.folder / "artifacts").rglob("metrics") if path.is_file()]
    (found,) = [metrics["train/cached"] for metrics in files if "train/cached" in metrics]
    return float(found)


def test_without_the_cache_calls_are_made_again(runs: tuple[Run, Run]) -> None:
    (step,) = runs[1].result["steps"]
    assert step["cached_calls"] == 0
    assert step["computed_prompt_tokens"] > 0
    assert "cache" not in runs[1].err + runs[1].out


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_person_sees_progress_and_a_table(runs: tuple[Run, Run]) -> None:
    assert "[1/4] prepare data ..." in runs[1].err
    assert "[4/4] evaluate on the test split: done" in runs[1].err
    assert "tests.core.toy:task: w (seed 0)" in runs[1].out
    assert "the final program is" in runs[1].out
    assert "  bt predict two/program --task tests.core.toy:task thing=" in runs[1].out.replace("'", "")


def test_a_second_run_into_the_folder_is_refused(runs: tuple[Run, Run], tiny_folder: Path) -> None:
    before = _bytes(runs[0].folder)
    again = _run(runs[0].folder.parent, tiny_folder, "--out", "one")
    assert again.returncode == 2
    assert again.stderr.startswith("bt: The --out folder one already holds a run (")
    assert _bytes(runs[0].folder) == before


def test_predict_uses_the_program(runs: tuple[Run, Run]) -> None:
    said = _bt(runs[0].folder, "predict", "program", *NAMED, "thing=big sky", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)["colour"] in ("red", "green", "blue")
    shown = _bt(runs[0].folder, "predict", "program", *NAMED, "thing=big sky")
    assert not (runs[0].folder / ".bt-cache").exists()
    assert shown.stdout.split() == ["colour", json.loads(said.stdout)["colour"]]


def test_predict_names_a_missing_input(runs: tuple[Run, Run]) -> None:
    said = _bt(runs[0].folder, "predict", "program", *NAMED, "ting=big sky")
    assert said.returncode == 2
    assert said.stderr.startswith("bt: The input `thing` is missing")


def _copied(run: Run, folder: Path) -> Path:
    shutil.copytree(run.folder / "program", folder / "program")
    return folder / "program" / "program.json"


def test_predict_refuses_a_program_of_other_fields(runs: tuple[Run, Run], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_TASK)
    file = _copied(runs[0], tmp_path)
    file.write_text(file.read_text().replace("tests.core.toy:task", "own:other_fields"))
    said = _bt(tmp_path, "predict", "program", "--task", "own:other_fields", "thing=big sky")
    assert said.returncode == 2
    assert "this program directory was made for another program than task `toy` has" in said.stderr
    assert "Traceback" not in said.stderr


def test_predict_refuses_another_base_model(runs: tuple[Run, Run], tmp_path: Path) -> None:
    file = _copied(runs[0], tmp_path)
    made = read_program(file.parent)
    file.write_text(file.read_text().replace(made.model_revision, "0" * 64))
    said = _bt(tmp_path, "predict", "program", *NAMED, "thing=big sky")
    assert said.returncode == 2
    assert said.stderr.startswith(f"bt: The base model {made.model} has revision {made.model_revision[:12]}, but ")


def test_predict_refuses_an_altered_adapter(runs: tuple[Run, Run], tmp_path: Path) -> None:
    file = _copied(runs[0], tmp_path)
    with (file.parent / "adapter" / "adapter_model.safetensors").open("ab") as weights:
        weights.write(b"more")
    said = _bt(tmp_path, "predict", "program", *NAMED, "thing=big sky")
    assert said.returncode == 2
    assert said.stderr.startswith("bt: The adapter program/adapter has sha256 ")


def test_mlflow_serves_the_runs_until_it_is_stopped(runs: tuple[Run, Run], rerun: Run) -> None:
    command = [str(BT), "mlflow", str(runs[0].folder.parent), "--port", str(free_port(preferred=0))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = next(line for line in server.stdout if line.startswith("MLflow: ")).removeprefix("MLflow: ").strip()
        try:
            api = f"{url.partition('/#/')[0]}/api/2.0/mlflow/runs/search"
            asked = json.dumps({"experiment_ids": ["1"], "filter": "tags.kind = 'pipeline'"}).encode()
            request = urllib.request.Request(api, asked, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = json.load(answer)["runs"]
            pages = _bt(runs[0].folder, "open", url.partition("/#/")[0])
        finally:
            server.send_signal(signal.SIGINT)
            status = server.wait(30)
    assert "/#/experiments/1/runs?" in url
    assert pages.returncode == 0, pages.stderr
    assert [line.split()[0] for line in pages.stdout.splitlines()] == ["runs", "strategies", "arms"]
    assert pages.stdout.splitlines()[0].endswith(url)
    assert [run["info"]["status"] for run in found] == ["FINISHED"] * 3
    assert status == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(api, timeout=5)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [("None", "None"), ("float('nan')", "nan"), ("1.5", "1.5"), ("-0.1", "-0.1")],
    ids=["none", "nan", "above-one", "below-zero"],
)
def test_a_metric_that_answers_nonsense(answer: str, shown: str, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_TASK.replace("prediction: None", f"prediction: {answer}"))
    done = _run(tmp_path, tiny_folder, "--out", "run", task="own:task")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"bt: The metric returned {shown} on example ")
    assert last.endswith("let the metric return a number from 0 to 1.")
    assert not (tmp_path / "run" / "result.json").exists()
