"""`bt reproduce` without the runs themselves: its commands, its pipelines and its table."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bt_core.config import resolve_config
from tests.cli import conftest as cli
from tests.cli.conftest import Bt
from tests.report.sweeps import ordinary

bt = cli.bt


def _sweep(task: str, model: str, **settings: Any) -> dict[str, Any]:
    """A sweep.json with scores, costs and settings made up for the table."""
    config = resolve_config({"task": task, **settings}).model_dump(mode="json")
    sweep = ordinary({"p -> p": 0.5, "p -> w -> p": 0.6, "w -> p -> w": 0.6}, seeds=(0, 1))
    scores = {"mean": 0.6, "low": 0.5, "high": 0.7}
    return sweep | {
        "model": model,
        "rows": config["rows"],
        "vanilla": sweep["vanilla"] | {"mean": 0.25, "low": 0.2, "high": 0.3},
        "arms": [arm | scores for arm in sweep["arms"][1:]],
        "cost": sweep["cost"] | {"seconds": 5400.0},
        "config": config,
    }


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """Two finished sweeps."""
    own = {"task_settings": {"corpus": "/data/corpus.jsonl", "prompt": "paper"}, "w": {"rank": 32}}
    sweeps = {
        "hotpotqa": _sweep("hotpotqa", "meta-llama/Meta-Llama-3-8B-Instruct", **own),
        "iris": _sweep("iris", "tiny"),
    }
    for task, sweep in sweeps.items():
        (tmp_path / "out" / task).mkdir(parents=True)
        (tmp_path / "out" / task / "sweep.json").write_text(json.dumps(sweep))
    return tmp_path / "out"


def test_scores_are_shown_beside_the_papers(bt: Bt, done: Path) -> None:
    ended = bt("reproduce", "--table", "--tasks", "hotpotqa,iris", "--out", done)
    assert ended.status == 0, ended.err
    assert ended.out.strip() == (done / "table1.md").read_text().strip()
    lines = ended.out.splitlines()
    assert "| vanilla | 25.0 (20.0 to 30.0) | 17.2 | 13.2 | 31.6 |" in lines
    assert "| p -> w -> p | 60.0 (50.0 to 70.0) | 37.6 | 34.8 | 46.7 |" in lines
    assert "| p -> w -> p | 60.0 (50.0 to 70.0) | 52.7 | 65.3 | 79.3 |" in lines
    assert "| w -> p -> w | 60.0 (50.0 to 70.0) |  |  |  |" in lines, "the paper has no such row"
    assert "hotpotqa 1.50, iris 1.50, together 3.00" in ended.out
    assert "about 75 hours of A100" in ended.out


def test_intervals_say_whether_they_cover_seeds(bt: Bt, done: Path) -> None:
    file = done / "iris" / "sweep.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seeds": [7]}))
    lines = bt("reproduce", "--table", "--tasks", "hotpotqa,iris", "--out", done).out.splitlines()
    assert [line.partition(" rows, ")[2] for line in lines if " rows, seed" in line] == [
        "seeds 0, 1; intervals over rows and seeds.",
        "seed 7; intervals over rows, not seeds: they are about these programs alone.",
    ]
    assert not any("over rows and seeds" in line for line in lines if "seeds 0, 1" not in line)


def test_what_differs_is_listed(bt: Bt, done: Path) -> None:
    found = json.loads(bt("reproduce", "--table", "--tasks", "hotpotqa,iris", "--out", done, "--json").out)
    hotpotqa, iris = ("\n".join(found["tasks"][task]["differs"]) for task in ("hotpotqa", "iris"))
    assert "BM25 over corpus.jsonl." in hotpotqa
    assert "2 seed(s) for the paper's 3." in hotpotqa
    assert "`rows.train` 60 (paper 1000)" in hotpotqa
    assert "`w.rank`" not in hotpotqa, "as in the paper"
    assert "The model is" not in hotpotqa
    assert "The model is tiny" in iris
    assert "`w.rank` 16 (paper 32)" in iris
    assert "49 test rows for the paper's 50" in iris


def test_a_sweep_that_is_not_finished(bt: Bt, done: Path) -> None:
    ended = bt("reproduce", "--table", "--out", done)
    assert ended.status == 2
    assert "gsm8k/sweep.json is no finished sweep" in ended.sentence


@pytest.mark.parametrize("tasks", ["hotpotqa,triage", ""])
def test_tasks_that_are_not_in_the_paper_are_refused(tasks: str, bt: Bt) -> None:
    ended = bt("reproduce", "--tasks", tasks)
    assert ended.status == 2
    assert ended.sentence.endswith("which has hotpotqa, gsm8k, iris: name some of these.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--table", "--compile", "compiled"], "--table makes a table of finished sweeps"),
        (["--image", "registry/bt-python:1"], "--image and --gpus are for the pods of a cluster"),
        (["--table", "--gpus", "1"], "--image and --gpus are for the pods of a cluster"),
    ],
)
def test_options_without_effect_are_refused(arguments: list[str], sentence: str, bt: Bt, tmp_path: Path) -> None:
    ended = bt("reproduce", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_a_cluster_gets_a_pipeline_for_each_task(bt: Bt, tmp_path: Path) -> None:
    arguments = ["--seeds", "0,1", "--strategies", "p; p -> w", "--model", "org/model", "--set", "w.epochs=2"]
    own = ["--set", "hotpotqa.task_settings.retriever=http://colbert/api/search", "--set", "gsm8k.rows.test=9"]
    ended = bt("reproduce", "--compile", "compiled", "--image", "registry/bt-python:1", *arguments, *own)
    assert ended.status == 0, ended.err
    parameters = {}
    for task in ("hotpotqa", "gsm8k", "iris"):
        pipeline = next(yaml.safe_load_all((tmp_path / "compiled" / f"{task}.yaml").read_text()))
        found = pipeline["root"]["inputDefinitions"]["parameters"]
        assert found["task"]["defaultValue"] == task
        parameters[task] = json.loads(found["config"]["defaultValue"])
    assert all(config["model"] == "org/model" for config in parameters.values())
    assert all(config["w"]["epochs"] == 2 for config in parameters.values())
    assert parameters["hotpotqa"]["task_settings"]["retriever"] == "http://colbert/api/search"
    assert [parameters[task]["rows"]["test"] for task in ("hotpotqa", "gsm8k", "iris")] == [1500, 9, 49]
    assert "retriever" not in parameters["gsm8k"]["task_settings"]
    assert not (tmp_path / "runs").exists(), "nothing ran"
