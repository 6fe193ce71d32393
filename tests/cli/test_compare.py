"""`bt compare`: two programs row by row."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bt_core.formats.rows import Answer, ComparedRow, ScoredRow, write_results
from bt_core.program import Field, LineageStep, PredictorState, Program, write_program
from bt_core.statistics.exact import mcnemar
from tests.cli.conftest import Bt

ROWS = 40


def _run(folder: Path, scores: Sequence[float], first: int = 0, groups: Sequence[str] = ()) -> Path:
    """A run's folder, whose vanilla program scored 0 throughout."""
    names = groups or [None] * len(scores)
    rows = [
        ComparedRow(example=f"e{first + n}", row={}, group=group, vanilla=_answer(0.0), final=_answer(score))
        for n, (score, group) in enumerate(zip(scores, names, strict=True))
    ]
    write_results(folder / "results.jsonl", rows)
    return folder


def _answer(score: float) -> Answer:
    return Answer(score=score, prediction={}, error=None)


def _scores(file: Path, scores: Sequence[float]) -> Path:
    """Scores of a sweep's program, in another order of rows."""
    rows = [
        ScoredRow(example=f"e{n}", row={}, score=score, prediction={}, error=None) for n, score in enumerate(scores)
    ]
    write_results(file, rows[::-1])
    return file


def test_a_run_is_compared_with_a_program_of_a_sweep(bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [float(n < 10) for n in range(ROWS)])
    _scores(tmp_path / "p-seed0.jsonl", [float(3 <= n < 30) for n in range(ROWS)])
    found = json.loads(bt("compare", "one", "p-seed0.jsonl", "--json").out)
    assert (found["rows"], found["a"], found["b"]) == (ROWS, 0.25, 0.675)
    difference = found["difference"]
    assert (difference["better"], difference["worse"], difference["method"]) == (20, 3, "mcnemar")
    assert difference["p_value"] == mcnemar(20, 3)
    assert (difference["groups"], difference["is_same"]) == (ROWS, False)
    assert difference["mean"] == pytest.approx(17 / ROWS)
    low, high = difference["ci95"]
    assert low < 17 / ROWS < high
    said = bt("compare", "one", "p-seed0.jsonl").out
    assert "p-seed0.jsonl is better than one: 0.250 -> 0.675, difference +0.425 (95% interval " in said
    assert "20 rows better, 3 worse, p < 0.001 (McNemar's test). The interval covers test rows, not seeds" in said


def test_five_rows_that_differ_show_nothing(bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [0.0] * 5)
    _run(tmp_path / "two", [1.0] * 5)
    assert "two is not shown to differ from one: 0.000 -> 1.000, difference +1.000" in bt("compare", "one", "two").out


def test_the_same_run_twice_is_the_same_program(bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [0.5, 0.25, 1.0])
    ended = bt("compare", "one", "one")
    assert ended.status == 0
    assert "one is the same program as one (0.583 -> 0.583 on 3 shared test rows)." in ended.out


@pytest.mark.parametrize(("demo", "is_same"), [({}, True), ({"a": "x"}, False)], ids=["same", "other"])
def test_equal_scores_are_of_the_same_program_only_if_the_programs_are(
    demo: dict[str, str], is_same: bool, bt: Bt, tmp_path: Path
) -> None:
    for run, demos in (("one", ({},)), ("two", (demo,))):
        _run(tmp_path / run, [0.0] * 30)
        state = PredictorState("Do it.", (Field("a", "str"),), (Field("b", "str"),), demos)
        lineage = (LineageStep("p", run, 0, {}, "0" * 64),)
        write_program(Program("t", "m", "r", {"x": state}, lineage=lineage), tmp_path / run / "program")
    found = json.loads(bt("compare", "one", "two", "--json").out)["difference"]
    assert (found["mean"], found["is_same"]) == (0.0, is_same)
    low, high = found["ci95"]
    assert (low, high) == ((0.0, 0.0) if is_same else pytest.approx((-0.092, 0.092), abs=0.001))


def test_rows_of_a_group_count_together(bt: Bt, tmp_path: Path) -> None:
    """Thirty rows better, all of them in three groups; the other run was made before the task had groups."""
    groups = [f"g{n // 10}" for n in range(ROWS)]
    _run(tmp_path / "one", [0.0] * ROWS)
    _run(tmp_path / "two", [float(n < 30) for n in range(ROWS)], groups=groups)
    for order in (("one", "two"), ("two", "one")):
        found = json.loads(bt("compare", *order, "--json").out)["difference"]
        assert (found["groups"], found["method"], found["p_value"]) == (4, "sign flip of groups", 0.25)
    assert "On 40 shared test rows in 4 groups two is not shown to differ from one" in bt("compare", "one", "two").out


def test_runs_with_different_groups_are_refused(bt: Bt, tmp_path: Path) -> None:
    for run, name in (("one", "a"), ("two", "b")):
        _run(tmp_path / run, [1.0], groups=[name])
    ended = bt("compare", "one", "two")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence == (
        "one and two put the test row e0 into different groups (a and b): run both with the same `group`."
    )


def test_other_test_rows_are_refused(bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [1.0] * 4)
    _run(tmp_path / "two", [1.0] * 4, first=1)
    ended = bt("compare", "one", "two")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(
        "one and two were not scored on the same test rows (3 of 4 and 4 are shared): run both with the same data"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "two holds no results (results.jsonl): name the folder of a finished run, or a results file."),
        ('{"colour": "red"}\n', "results.jsonl, row 1: `example` is missing, `row` is missing, `score` is missing"),
        ('{"colour": "red", "final": {}}\n', "results.jsonl, row 1: `example` is missing, `row` is missing"),
        ("red\n", "results.jsonl, line 1: broken JSON"),
    ],
    ids=["missing", "other-rows", "other-run", "no-json"],
)
def test_a_folder_without_results_is_refused(content: str | None, sentence: str, bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [1.0])
    (tmp_path / "two").mkdir()
    if content is not None:
        (tmp_path / "two" / "results.jsonl").write_text(content)
    ended = bt("compare", "one", "two")
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.sentence


@pytest.mark.parametrize("change", ["NaN", "Infinity", "7", "-1", "true", '1.0, "score": 1.0'])
def test_scores_that_are_none_are_refused(change: str, bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [1.0])
    _scores(tmp_path / "two.jsonl", [0.5, 1.0])
    text = (tmp_path / "two.jsonl").read_text()
    (tmp_path / "two.jsonl").write_text(text.replace('"score": 0.5', f'"score": {change}'))
    ended = bt("compare", "one", "two.jsonl")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(("two.jsonl, line 2: broken JSON (", "two.jsonl, row 2: `score` is "))
