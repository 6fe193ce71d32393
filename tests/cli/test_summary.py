"""The table at the end of a run, and a verdict that claims no more than its interval."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from bt_cli.run_folder import RunFolder
from bt_cli.view.console import print_sentence
from bt_cli.view.summary import print_summary
from bt_core.records import write_jsonl

STEP = {
    "stage": "1.p",
    "kind": "p",
    "validation_before": 0.25,
    "validation": 0.5,
    "seconds": 61.04,
    "lm_calls": 1234,
    "cached_calls": 0,
    "prompt_tokens": 56789,
    "completion_tokens": 321,
    "traces_kept": 26,
    "traces_total": 60,
}


def _printed(folder: Path, low: float, high: float, **changes: Any) -> str:
    difference = {"mean": (low + high) / 2, "ci95": [low, high]}
    test = {"vanilla": 0.5, "final": 0.6, "difference": difference, "rows": 150}
    result = {"task": "continents", "strategy": "p", "seed": 0, "steps": [STEP], "test": test, "shipped": "1.p"}
    file = io.StringIO()
    run = RunFolder(folder / "runs" / "one")
    write_jsonl(run.results, [{"row": {"city": "São Paulo", "continent": "South America"}}])
    console = Console(file=file, width=80, soft_wrap=True, highlight=False)
    print_summary(console, result | changes, run, changes.get("tracking_uri"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("is_terminal", "lines"), [(True, ["twelve letters or", "so"]), (False, ["twelve letters or so"])]
)
def test_a_sentence_is_broken_between_words_on_a_terminal_alone(is_terminal: bool, lines: list[str]) -> None:
    file = io.StringIO()
    console = Console(file=file, width=18, soft_wrap=True, force_terminal=is_terminal, color_system=None)
    print_sentence(console, Text("twelve letters or so"))
    assert [line.rstrip() for line in file.getvalue().splitlines()] == lines


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_step_tells_its_gain_and_its_cost(tmp_path: Path) -> None:
    line = next(line for line in _printed(tmp_path, 0.1, 0.2).splitlines() if "1.p" in line and "│" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["1.p", "0.250 -> 0.500", "26/60", "1,234", "56,789", "321", "61.0"]


def test_calls_from_the_cache_are_shown_where_there_were_any(tmp_path: Path) -> None:
    assert "cached" not in _printed(tmp_path, 0.1, 0.2)
    steps = [STEP | {"cached_calls": 1204}, STEP | {"stage": "2.w"}]
    text = _printed(tmp_path, 0.1, 0.2, steps=steps)
    assert "(cached)" in text
    assert "(1,204)" in text
    assert "(0)" in text
    assert "…" not in text, "all of it fits into 80 columns"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "better than the vanilla one"),
        (-0.2, -0.1, "worse than the vanilla one"),
        (-0.1, 0.2, "not shown to differ from the vanilla one"),
        (0.0, 0.2, "not shown to differ from the vanilla one"),
    ],
    ids=["better", "worse", "around-zero", "touches-zero"],
)
def test_the_verdict_follows_the_interval(low: float, high: float, verdict: str, tmp_path: Path) -> None:
    text = _printed(tmp_path, low, high)
    assert f"the final program is {verdict}" in text
    assert f"(95% interval {low:+.3f} to {high:+.3f})" in text


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    text = _printed(tmp_path, 0.1, 0.2)
    assert "\n  bt show runs/one/program\n" in text
    assert "\n  bt predict runs/one/program 'city=São Paulo'\n" in text
    assert text.endswith("\n  bt mlflow\n")


def test_a_server_of_the_users_needs_no_local_one(tmp_path: Path) -> None:
    text = _printed(tmp_path, 0.1, 0.2, tracking_uri="http://mlflow:5000")
    assert "tracking http://mlflow:5000" in text
    assert "bt mlflow" not in text


def test_shipping_the_vanilla_program_is_said(tmp_path: Path) -> None:
    assert "from no step: the vanilla program is the best" in _printed(tmp_path, 0.0, 0.0, shipped="vanilla")
