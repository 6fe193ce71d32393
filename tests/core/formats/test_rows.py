"""The rows of results files: written and read by one model for each kind of run."""

from pathlib import Path

import pytest

from bt_core.errors import DataError
from bt_core.formats.rows import (
    Answer,
    ChallengeRow,
    ComparedRow,
    RowScore,
    ScoredRow,
    read_results,
    read_scores,
    write_results,
)
from bt_core.records import Trace

RIGHT = Answer.of(Trace("e", 1.0, prediction={"colour": "red"}))
FAILED = Answer.of(Trace("e", 0.0, error="the answer is no colour", feedback={"": "Say a colour.", "paint": "Look."}))
SCORED = ScoredRow(example="e", row={"thing": "sky"}, score=0.5, prediction={}, error=None)
COMPARED = ComparedRow(example="e", row={"thing": "sky"}, vanilla=FAILED, final=RIGHT)
CHALLENGE = ChallengeRow(example="e", row={"thing": "sky"}, champion=RIGHT, challenger=FAILED)


@pytest.mark.parametrize("row", [SCORED, COMPARED, CHALLENGE], ids=lambda row: type(row).__name__)
def test_rows_are_read_back(row: ScoredRow | ComparedRow | ChallengeRow, tmp_path: Path) -> None:
    write_results(tmp_path / "results.jsonl", [row, row])
    assert read_results(tmp_path / "results.jsonl", type(row)) == [row, row]


def test_a_line_has_its_keys_in_order(tmp_path: Path) -> None:
    write_results(tmp_path / "results.jsonl", [COMPARED])
    assert (tmp_path / "results.jsonl").read_text() == (
        '{"example": "e", "final": {"error": null, "feedback": "", "prediction": {"colour": "red"}, "score": 1.0}, '
        '"group": null, "row": {"thing": "sky"}, '
        '"vanilla": {"error": "the answer is no colour", "feedback": "Say a colour.\\npaint: Look.", "prediction": {}, '
        '"score": 0.0}}\n'
    )


@pytest.mark.parametrize(("row", "score"), [(SCORED, 0.5), (COMPARED, 1.0)], ids=["sweep", "run"])
def test_the_score_is_that_of_the_shipped_program(row: ScoredRow | ComparedRow, score: float, tmp_path: Path) -> None:
    grouped = row.model_copy(update={"example": "f", "group": "one"})
    write_results(tmp_path / "results.jsonl", [row, grouped])
    assert read_scores(tmp_path / "results.jsonl") == {"e": RowScore(score, None), "f": RowScore(score, "one")}


def test_a_file_without_rows_has_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="has no rows: name a results file that a run or a sweep wrote"):
        read_scores(path)


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write_results(path, [CHALLENGE])
    for read in (read_scores, lambda path: read_results(path, ScoredRow)):
        with pytest.raises(DataError) as refused:
            read(path)
        assert str(refused.value) == (
            f"{path}, row 1: `score` is missing, `prediction` is missing, `error` is missing, `challenger` is unknown,"
            " `champion` is unknown; name a results file that a run or a sweep wrote."
        )
