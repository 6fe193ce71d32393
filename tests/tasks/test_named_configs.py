"""`--config NAME`: the configurations that a task brings."""

import json
from pathlib import Path

import pytest
import yaml

from bt_cli.options.settings import gather
from bt_core.config import Config, resolve_config
from bt_core.errors import ConfigError
from bt_core.task import load_task

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "bt_tasks" / "configs").glob("*-*.yaml"))
PAPER = Path("paper")


def _whole(task: str, name: str) -> Config:
    """All settings that a run of a packaged configuration would use."""
    settings = gather({"task": task}, Path(name))
    return resolve_config(load_task(task, settings.config.task_settings).config, settings.overrides)


@pytest.mark.parametrize("task", ["hotpotqa", "gsm8k", "iris"])
def test_the_papers_settings(task: str) -> None:
    """Soylu, Potts, Khattab 2024 (arXiv 2407.10930), section 4 and appendix."""
    found = _whole(task, "paper")
    assert (found.decoding.temperature, found.decoding.top_p, found.decoding.max_tokens) == (0.1, 0.97, 1024)
    assert (found.p.candidates, found.p.max_demos, found.bootstrap.threshold) == (6, 3, 1.0)
    assert (found.w.rank, found.w.alpha, found.w.dropout, found.w.learning_rate) == (32, 64, 0.0, 1e-5)
    assert (found.w.epochs, found.w.batch_size, found.w.target_modules) == (5, 8, ("q_proj", "k_proj"))
    assert (found.w.sft_prompt, found.w.adapters) == ("vanilla", "shared")
    sizes = {"hotpotqa": (1000, 500, 1500), "gsm8k": (1000, 500, 1319), "iris": (50, 50, 49)}
    assert (found.rows.train, found.rows.val, found.rows.test) == sizes[task]
    assert found.decoding.stop == (), "long reasoning is not cut"
    assert found.decoding.calibration == "none"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_packaged_configuration_fits_its_task(path: Path) -> None:
    task, _, name = path.stem.partition("-")
    assert _whole(task, name).task == task


def test_the_papers_table_is_that_of_the_docs() -> None:
    packaged = yaml.safe_load((ROOT / "bt_tasks" / "configs" / "paper_table1.yaml").read_text(encoding="utf-8"))
    shown = json.loads((ROOT / "docs" / "data" / "paper_table1.json").read_text(encoding="utf-8"))
    assert {key: packaged[key] for key in ("seeds", "tasks", "test_rows", "scores")} == {
        key: value for key, value in shown.items() if key != "source"
    }


def test_options_win_over_a_named_configuration() -> None:
    settings = gather({"task": "gsm8k", "rows.test": 7}, PAPER, ["w.rank=2"])
    assert (settings.config.rows.test, settings.config.rows.val, settings.config.w.rank) == (7, 500, 2)
    assert settings.config.task_settings == {"prompt": "paper", "metric": "first_line"}


def test_a_users_task_brings_its_own_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "routing.py").write_text("raise RuntimeError('a configuration needs no import')")
    (tmp_path / "route.yaml").write_text("{signature: text -> label, metric: f1}")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "routing-fast.yaml").write_text("w: {epochs: 1}")
    (tmp_path / "configs" / "route-fast.yaml").write_text("w: {epochs: 2}")
    assert gather({"task": "routing:task"}, Path("fast")).config.w.epochs == 1
    assert gather({"task": "route.yaml"}, Path("fast")).config.w.epochs == 2


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("iris", "no configuration `none` (it has paper, small): name one of these, or a file."),
        ("continents", "no configuration `none` (it has none)"),
        ("nowhere", "The task `nowhere` was not found, and so were none of its configurations"),
        ("no.where:task", "The task `no.where:task` was not found"),
        (None, "`--config none` names a configuration of a task: name the task too."),
    ],
    ids=["others", "none", "unknown", "no-module", "no-task"],
)
def test_an_unknown_configuration_name_is_refused(task: str | None, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gather({"task": task}, Path("none"))
    assert sentence in str(caught.value)


def test_paths_among_a_tasks_settings_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.jsonl").touch()
    (tmp_path / "paper").mkdir()  # a folder that happens to be called as a value
    given = ["task_settings.corpus=corpus.jsonl", "task_settings.prompt=paper", "task_settings.retriever=s3://a/b.c"]
    found = gather({"task": "hotpotqa"}, None, given).config.task_settings
    assert found == {"corpus": str(tmp_path / "corpus.jsonl"), "prompt": "paper", "retriever": "s3://a/b.c"}
