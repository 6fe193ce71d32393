"""`bt sweep` from end to end on a tiny random model: its figures, and that a sweep which was killed goes on."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_cli.options.sweep import SWEEP_DEFAULTS
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.formats.sweep import Sweep as SweepFile
from bt_core.program import program_sha256
from bt_core.records import read_jsonl
from tests.core import conftest as core

pytestmark = pytest.mark.slow

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[3]
SETTINGS = ("w.epochs=1", "w.min_traces=1", "w.rank=2", "p.candidates=2", "p.max_demos=1")
ARMS, SEEDS, ROWS = ("p", "w"), (0, 1), 8
#: Keys whose values are of one call of the command, not of the sweep.
TIMES = ("seconds", "seconds_one_by_one", "cached_calls", "computed_prompt_tokens")


@dataclass(frozen=True)
class Sweep:
    """A folder that `bt sweep` filled, and what it printed."""

    folder: Path
    out: str
    err: str

    @property
    def content(self) -> dict[str, Any]:
        return SweepFile.read(self.folder / "sweep.json").content()


def _command(model: Path, out: str, *more: str) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    named = ["--task", "tests.core.toy:task", "--strategies", "; ".join(ARMS), "--seeds", ",".join(map(str, SEEDS))]
    return [str(BT), "sweep", *named, "--model", str(model), *settings, "--out", out, *more]


def _start(cwd: Path, command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), CACHE_VARIABLE: ""}  # the path is for tests.core.toy
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True)


def _sweep(cwd: Path, model: Path, out: str, *more: str) -> Sweep:
    process = _start(cwd, _command(model, out, *more))
    said, noted = process.communicate()
    assert process.returncode == 0, noted
    return Sweep(cwd / out, said, noted)


@pytest.fixture(scope="module")
def sweep(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return _sweep(tmp_path_factory.mktemp("whole"), tiny_folder, "sweep")


def test_the_figures_are_those_of_the_test_rows(sweep: Sweep) -> None:
    content = sweep.content
    scores = {path.stem: read_jsonl(path) for path in (sweep.folder / "scores").iterdir()}
    assert scores.keys() == {"vanilla-seed0", *(f"{arm}-seed{seed}" for arm in ARMS for seed in SEEDS)}
    assert len({tuple(row["example"] for row in rows) for rows in scores.values()}) == 1, "the same rows for everybody"
    means = {name: sum(row["score"] for row in rows) / len(rows) for name, rows in scores.items()}
    assert [arm["name"] for arm in content["arms"]] == list(ARMS)
    for arm in content["arms"]:
        for seed in SEEDS:
            assert arm["by_seed"][str(seed)] == pytest.approx(means[f"{arm['name']}-seed{seed}"])
        assert arm["versus_vanilla"]["mean"] == pytest.approx(arm["mean"] - means["vanilla-seed0"])
        assert arm["low"] <= arm["mean"] <= arm["high"]
    assert content["vanilla"]["by_seed"] == dict.fromkeys(map(str, SEEDS), pytest.approx(means["vanilla-seed0"]))
    assert content["rows"]["test"] == ROWS
    assert content["verdict"]["word"]


def test_the_tree_ran_and_saved_calls(sweep: Sweep) -> None:
    content = sweep.content
    assert [(node["seed"], node["stage"]) for node in content["nodes"]] == [
        (seed, arm) for seed in SEEDS for arm in ARMS
    ]
    assert content["cost"]["lm_calls"] < content["cost"]["lm_calls_one_by_one"]
    trained = [node for node in content["nodes"] if node["kind"] == "w"]
    assert all(node["loss"] and node["train_tokens"] for node in trained)


def test_the_winner_is_shipped(sweep: Sweep) -> None:
    winner = sweep.content["winner"]
    assert winner, "the settings are such that an arm beats vanilla on validation"
    by_validation = {arm["name"]: arm["validation"] for arm in sweep.content["arms"]}
    assert by_validation[winner["arm"]] == max(by_validation.values())
    assert winner["program_sha256"] == program_sha256(sweep.folder / "program")
    assert winner["predictors"].keys() == {"shade", "paint"}
    assert [step["kind"] for step in winner["lineage"]] == winner["arm"].split(" -> ")
    results = sweep.folder / "results.jsonl"
    assert (
        results.read_bytes() == (sweep.folder / "scores" / f"{winner['arm']}-seed{winner['seed']}.jsonl").read_bytes()
    )


def test_a_single_run_of_the_winners_arm_and_seed_makes_the_same_program(
    sweep: Sweep, tiny_folder: Path, tmp_path: Path
) -> None:
    winner = sweep.content["winner"]
    defaults = (f"{name}={value}" for name, value in SWEEP_DEFAULTS.items())
    given = (*SETTINGS, *defaults, "select=last", f"data_seed={SEEDS[0]}")
    settings = [part for setting in given for part in ("--set", setting)]
    named = ["--task", "tests.core.toy:task", "--strategy", winner["arm"], "--seed", str(winner["seed"])]
    command = [str(BT), "run", *named, "--model", str(tiny_folder), *settings, "--out", "single"]
    process = _start(tmp_path, command)
    _, noted = process.communicate()
    assert process.returncode == 0, noted
    single = tmp_path / "single"
    assert _bytes(single / "program") == _bytes(sweep.folder / "program")
    scored = {row["example"]: row["score"] for row in read_jsonl(sweep.folder / "results.jsonl")}
    assert {row["example"]: row["final"]["score"] for row in read_jsonl(single / "results.jsonl")} == scored


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_changed_rows_are_those_of_the_two_results(sweep: Sweep) -> None:
    before, after = (read_jsonl(sweep.folder / name) for name in ("scores/vanilla-seed0.jsonl", "results.jsonl"))
    gained = [new["row"] for old, new in zip(before, after, strict=True) if new["score"] > old["score"]]
    changed = sweep.content["changed"]
    assert [change["row"] for change in changed["gained"]] == gained
    assert changed["gained_count"] == len(gained)


def test_a_person_gets_a_table_a_verdict_and_a_report(sweep: Sweep) -> None:
    assert "2 arms, 2 seeds, 8 test rows" in sweep.out
    assert sweep.content["verdict"]["sentence"] in sweep.out
    assert "report   sweep/report.html" in sweep.out
    html, markdown = ((sweep.folder / name).read_text() for name in ("report.html", "report.md"))
    assert html.lower().startswith("<!doctype html>")
    assert "tests.core.toy:task" in html
    assert "tests.core.toy:task" in markdown
    assert "[13/13] report sweep: done" in sweep.err


def test_a_finished_sweep_is_shown_and_not_run_again(sweep: Sweep, tiny_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sweep.folder.rglob("*")}
    again = _sweep(sweep.folder.parent, tiny_folder, "sweep", "--json")
    assert json.loads(again.out) == sweep.content
    assert again.err == ""
    assert {path: path.stat().st_mtime_ns for path in sweep.folder.rglob("*")} == before


def test_the_report_can_be_written_again(sweep: Sweep) -> None:
    html = sweep.folder / "report.html"
    text = html.read_text()
    html.unlink()
    done = subprocess.run([str(BT), "report", str(sweep.folder)], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert html.read_text() == text


def test_mlflow_compares_the_arms_by_their_tag(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{sweep.folder.parent / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=store, registry_uri=store)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    (parent,) = [run for run in runs if run.data.tags["kind"] == "pipeline"]
    assert (parent.data.tags["strategy"], parent.data.tags["seed"], parent.info.status) == ("sweep", "0, 1", "FINISHED")
    assert sweep.content["verdict"]["sentence"] in parent.data.tags["mlflow.note.content"]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {"report.html", "sweep.json"}
    stages = [run.data.tags["stage"] for run in runs]
    scores = len(SEEDS) * len(ARMS) + 1
    tasks = 13 - 1 - len(SEEDS)
    assert len(set(stages)) == len(stages) == 1 + tasks + scores, "the parent, all tasks but the importer, each score"
    scored = {
        (run.data.tags["strategy"], run.data.tags["seed"]): run for run in runs if run.data.tags["kind"] == "score"
    }
    assert scored.keys() == {("vanilla", "0"), *((arm, str(seed)) for arm in ARMS for seed in SEEDS)}
    for arm in sweep.content["arms"]:
        for seed in SEEDS:
            metrics = scored[arm["name"], str(seed)].data.metrics
            assert metrics["test/score"] == pytest.approx(arm["by_seed"][str(seed)])
            assert metrics["val/score"] == pytest.approx(arm["validation_by_seed"][str(seed)])
            assert metrics["cost/prompt_tokens_per_example"] > 0.0
    winner = sweep.content["winner"]
    (version,) = client.search_model_versions("name = 'bt-tests.core.toy-task'")
    assert version.tags["program.sha256"] == winner["program_sha256"]


@pytest.mark.parametrize("draw", range(5))
def test_a_killed_sweep_goes_on_and_ends_with_the_same_figures(
    draw: int, sweep: Sweep, tiny_folder: Path, tmp_path: Path
) -> None:
    last = random.Random(draw).randint(3, 11)  # of the 13 tasks
    process = _start(tmp_path, _command(tiny_folder, "sweep"))
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith(f"[{last}/13]"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "sweep" / "sweep.json").exists()

    resumed = _sweep(tmp_path, tiny_folder, "sweep")
    assert "from the cache" in resumed.err
    assert dict(_lasting(resumed.content)) == dict(_lasting(sweep.content))
    for path in sorted((sweep.folder / "scores").iterdir()):
        assert (resumed.folder / "scores" / path.name).read_bytes() == path.read_bytes()
    assert program_sha256(resumed.folder / "program") == program_sha256(sweep.folder / "program")


def test_a_budget_stops_a_sweep_that_then_goes_on(sweep: Sweep, tiny_folder: Path, tmp_path: Path) -> None:
    process = _start(tmp_path, _command(tiny_folder, "sweep", "--budget", "0.05"))
    _, noted = process.communicate()
    assert process.returncode == 1
    assert "bt: The budget of 0.05 minutes is spent, and the sweep is not finished: the same command goes" in noted
    assert not (tmp_path / "sweep" / "sweep.json").exists()
    assert dict(_lasting(_sweep(tmp_path, tiny_folder, "sweep").content)) == dict(_lasting(sweep.content))


def _lasting(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure with its path, times aside."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in TIMES:
                yield from _lasting(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _lasting(inner, f"{path}/{index}")
    else:
        yield path, value
