"""`bt compare`: two programs row by row."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bt_core.formats.rows import Answer, ComparedRow, ScoredRow, write_results
from bt_core.statistics.exact import mcnemar
from tests.cli.conftest import Bt

ROWS = 40


def _run(folder: Path, scores: Sequence[float], first: int = 0) -> Path:
    """A run's folder, whose vanilla program scored 0 throughout."""
    rows = [
        ComparedRow(example=f"e{first + n}", row={}, vanilla=_answer(0.0), final=_answer(score))
        for n, score in enumerate(scores)
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
    assert (found["better"], found["worse"], found["method"]) == (20, 3, "mcnemar")
    assert found["p_value"] == mcnemar(20, 3)
    assert found["difference"]["mean"] == pytest.approx(17 / ROWS)
    low, high = found["difference"]["ci95"]
    assert low < 17 / ROWS < high
    said = bt("compare", "one", "p-seed0.jsonl").out
    assert "p-seed0.jsonl differs from one: 0.250 -> 0.675, difference +0.425 (95% interval " in said
    assert "20 rows better, 3 worse, p < 0.001 (McNemar's test)" in said


def test_the_same_run_twice_does_not_differ(bt: Bt, tmp_path: Path) -> None:
    _run(tmp_path / "one", [0.5, 0.25, 1.0])
    ended = bt("compare", "one", "one")
    assert ended.status == 0
    assert "one is not shown to differ from one: 0.583 -> 0.583, difference +0.000" in ended.out
    assert "random signs" in ended.out


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
