"""The table at the end of a run, and its verdict, which claims no more than the interval."""

import io
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from bt_cli.commands.predict import _parse
from bt_cli.run_folder import RunFolder
from bt_cli.view.console import print_sentence
from bt_cli.view.summary import _argument, print_summary
from bt_core.formats.rows import Answer, ComparedRow, write_results
from bt_core.formats.run_result import RunResult
from tests.run_step import STEP

RESULT = {
    "task": "continents",
    "strategy": "p",
    "seed": 0,
    "steps": [STEP],
    "shipped": "1.p",
    "program": "runs/one/program",
    "program_sha256": "0" * 64,
    "seconds": 70.5,
    "warnings": [],
    "mlflow": {},
    "config": {},
}
#: Files of earlier releases lack these.
MORE = {
    "steps": [STEP | {"changed": False}],
    "baselines": {"majority": 0.2, "single_answer": 0.25},
    "demos": {"country": 3, "continent": 0},
}
ANSWER = Answer(score=0.0, prediction={}, error=None)


DIFFERENCE = {"p_value": 0.01, "method": "mcnemar", "better": 30, "worse": 10, "groups": 150, "is_same": False}


def _printed(
    folder: Path,
    low: float,
    high: float,
    tracking_uri: str | None = None,
    compared: Mapping[str, Any] = DIFFERENCE,
    **changes: Any,
) -> str:
    test = {
        "vanilla": 0.5,
        "final": 0.6,
        "difference": {"mean": (low + high) / 2, "ci95": [low, high], **compared},
        "rows": 150,
        "prompt_tokens_per_example": {"vanilla": 54.0, "final": 81.5},
    }
    result = RunResult.parse(json.dumps({**RESULT, "test": test, **changes}), "result.json")
    file = io.StringIO()
    run = RunFolder(folder / "runs" / "one")
    row = {"city": "São Paulo", "continent": "South America"}
    write_results(run.results, [ComparedRow(example="e", row=row, vanilla=ANSWER, final=ANSWER)])
    console = Console(file=file, width=80, soft_wrap=True, highlight=False)
    print_summary(console, result, run, tracking_uri)
    return file.getvalue()


@pytest.mark.parametrize(
    ("is_terminal", "lines"), [(True, ["twelve letters or", "so"]), (False, ["twelve letters or so"])]
)
def test_a_sentence_is_wrapped_on_a_terminal_only(is_terminal: bool, lines: list[str]) -> None:
    file = io.StringIO()
    console = Console(file=file, width=18, soft_wrap=True, force_terminal=is_terminal, color_system=None)
    print_sentence(console, Text("twelve letters or so"))
    assert [line.rstrip() for line in file.getvalue().splitlines()] == lines


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_step_shows_its_gain_and_its_cost(tmp_path: Path) -> None:
    line = next(line for line in _printed(tmp_path, 0.1, 0.2).splitlines() if "1.p" in line and "│" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["1.p", "0.250 -> 0.500", "26/60", "1,234", "56,789", "321", "61.0"]


def test_what_helps_to_read_the_verdict_is_said_where_it_is_known(tmp_path: Path) -> None:
    text = _printed(tmp_path, 0.1, 0.2, **MORE)
    assert "`1.p` changed nothing." in text
    assert (
        "Always answering the most frequent label of train scores 0.200 on the test rows; no single answer scores more"
        " than 0.250." in text
    )
    assert "(from stage 1.p, 3 demos in country)" in text
    earlier = _printed(tmp_path, 0.1, 0.2)
    assert "changed nothing" not in earlier
    assert "Always answering" not in earlier


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
    assert f"(95% interval {low:+.3f} to {high:+.3f}), 30 rows better, 10 worse, p = 0.010 (McNemar's test)." in text
    assert "The interval covers test rows, not seeds" in text


@pytest.mark.parametrize(
    ("compared", "verdict"),
    [
        ({"p_value": 0.0625}, "not shown to differ from the vanilla one"),
        (
            {"method": "none", "is_same": True},
            "nothing to compare: the final program is the same program as the vanilla",
        ),
    ],
    ids=["test-disagrees", "same-program"],
)
def test_the_verdict_is_made_of_all_that_the_result_holds(
    compared: dict[str, Any], verdict: str, tmp_path: Path
) -> None:
    assert verdict in _printed(tmp_path, 0.1, 0.2, compared=DIFFERENCE | compared)


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    text = _printed(tmp_path, 0.1, 0.2)
    assert "\n  bt show runs/one/program\n" in text
    assert "\n  bt predict runs/one/program 'city=São Paulo'\n" in text
    assert text.endswith("\n  bt mlflow\n")


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("Oslo", "city=Oslo"),
        ("00007", "city=00007"),
        ("7", "'city:=\"7\"'"),
        ("False", "'city:=\"False\"'"),
        (False, "city:=false"),
        (7, "city:=7"),
        (["Oslo", "Züri"], '\'city:=["Oslo", "Züri"]\''),
        (None, "city:=null"),
    ],
    ids=range(8),
)
def test_the_next_command_gives_the_input_as_it_is_in_the_row(value: object, argument: str) -> None:
    assert shlex.join([_argument("city", value)]) == argument
    assert _parse([_argument("city", value)]) == {"city": value}


def test_with_a_named_server_no_local_one_is_suggested(tmp_path: Path) -> None:
    text = _printed(tmp_path, 0.1, 0.2, tracking_uri="http://mlflow:5000")
    assert "tracking http://mlflow:5000" in text
    assert "bt mlflow" not in text


def test_it_says_when_the_vanilla_program_is_shipped(tmp_path: Path) -> None:
    assert "from no step: the vanilla program is the best" in _printed(tmp_path, 0.0, 0.0, shipped="vanilla")
