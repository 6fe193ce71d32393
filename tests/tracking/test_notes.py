"""Markdown for notes."""

from bt_core.records import Usage
from bt_tracking import metrics_table, table, usage_table
from bt_tracking.notes import NOTE_LIMIT, fit_note


def _plain(text: str) -> str:
    return text.replace("\u00a0", "")


def test_a_table_formats_its_cells() -> None:
    made = table(("stage", "val"), [("1.p", 0.51234), ("a | b\nc", None), ("rows", 3)])
    assert _plain(made) == "| stage | val |\n| --- | --- |\n| 1.p | 0.512 |\n| a \\| b c | - |\n| rows | 3 |\n"


def test_an_empty_table_is_its_header() -> None:
    assert _plain(table(("a", "b"), [])) == "| a | b |\n| --- | --- |\n"


def test_metrics_and_usage() -> None:
    assert "| val/score | 0.500 |" in _plain(metrics_table({"val/score": 0.5}))
    assert usage_table(Usage()) == ""
    assert "| 3 | 1 |" in _plain(usage_table(Usage(calls=3, cached_calls=1)))


def test_a_note_that_fits_is_left_alone() -> None:
    assert fit_note("n" * NOTE_LIMIT) == "n" * NOTE_LIMIT
    assert len(fit_note("n" * (NOTE_LIMIT + 1))) == NOTE_LIMIT
