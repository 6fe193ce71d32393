"""The page of a single run: its scores, the rows that changed, how to use the program; and no markup of the user's."""

import json
from typing import Any

import pytest

from bt_core.formats.rows import Answer, ComparedRow
from bt_core.formats.run_result import RunResult
from bt_core.program import AdapterRef, Field, PredictorState, Program
from bt_report import render_run
from bt_runtime.run_page import changed_rows
from tests.report.page import Element, read_page
from tests.report.sweeps import INJECTION
from tests.run_step import STEP

DIFFERENCE = {"mean": 0.2, "ci95": [0.1, 0.3], "p_value": 0.004, "method": "mcnemar", "better": 12, "worse": 2}


def _result(text: str = "locate:task", **difference: Any) -> RunResult:
    values = {
        "task": text,
        "strategy": "p -> w",
        "seed": 0,
        "steps": [STEP, STEP | {"stage": "2.w", "kind": "w", "validation_before": 0.5, "validation": 0.75}],
        "test": {
            "vanilla": 0.4,
            "final": 0.6,
            "difference": {"groups": 50, "is_same": False, **DIFFERENCE, **difference},
            "rows": 50,
            "prompt_tokens_per_example": {"vanilla": 54.0, "final": 81.5},
        },
        "shipped": "2.w",
        "program": "program",
        "program_sha256": "ab" * 32,
        "seconds": 70.5,
        "warnings": [f"Careful with `{text}`."],
        "mlflow": {},
        "config": {"model": text},
    }
    return RunResult.parse(json.dumps(values), "result.json")


def _rows(text: str = "Lima") -> list[ComparedRow]:
    def row(number: int, before: float, after: float) -> ComparedRow:
        vanilla, final = (
            Answer(score=score, prediction={"continent": text}, error=None, feedback=f"{text} is {score:g} right.")
            for score in (before, after)
        )
        return ComparedRow(
            example=str(number), row={"city": f"{text} {number}"}, group=None, vanilla=vanilla, final=final
        )

    return [row(0, 0.0, 1.0), row(1, 1.0, 1.0), row(2, 1.0, 0.0), row(3, 0.25, 0.5)]


def _program(text: str = "Name the continent.") -> Program:
    field = Field("city", "str", "")
    reference = AdapterRef("adapter", "cd" * 32)
    state = PredictorState(text, (field,), (field,), demos=({"city": text},), adapter=reference)
    return Program("locate:task", "tiny", "rev1", {"answer": state})


def _page(**difference: Any) -> Element:
    return read_page(render_run(_result(**difference), changed_rows(_rows()), _program(), ("city", "country")))


def test_scores_before_and_after_with_the_interval() -> None:
    page = _page()
    assert page.by_id("verdict").text == "better than before"
    assert page.by_id("scores").rows() == [
        ["vanilla before any step", "0.400", "54"],
        ["shipped made by 2.w", "0.600", "82"],
        ["difference p = 0.004", "+0.200 +0.100 to +0.300", ""],
    ]
    steps = [["1.p", "0.250", "0.500", "26 of 60"], ["2.w", "0.500", "0.750", "26 of 60"]]
    assert [row[:4] for row in page.by_id("steps-table").rows()] == steps


@pytest.mark.parametrize(
    ("difference", "title"),
    [
        ({"ci95": [-0.3, -0.1]}, "worse than before"),
        ({"ci95": [-0.1, 0.3]}, "not shown to differ from before"),
        ({"p_value": 0.2}, "not shown to differ from before"),
        ({"is_same": True}, "unchanged"),
    ],
)
def test_the_title_claims_no_more_than_the_comparison(difference: dict[str, Any], title: str) -> None:
    assert _page(**difference).by_id("verdict").text == title


def test_changed_rows_and_how_to_use_the_program() -> None:
    text = _page().text
    assert "Higher than before: 2" in text
    assert "Lower than before: 1" in text
    assert "Metric: Lima is 0.25 right." in text
    assert "Metric: Lima is 0.5 right." in text
    assert "Lima 1" not in text, "its score has not changed"
    assert "bt predict PROGRAM --task locate:task city=... country=..." in text
    assert "with an adapter" in text


def test_a_users_text_is_no_markup_and_nothing_is_loaded() -> None:
    html = render_run(_result(INJECTION), changed_rows(_rows(INJECTION)), _program(INJECTION), (INJECTION,))
    page = read_page(html)
    assert not list(page.all("script", "link", "img", "iframe", "object", "embed", "base", "image", "use"))
    assert all(element.attributes["href"].startswith("#") for element in page.all("a"))
    assert INJECTION in page.text
    assert len(html) < 100_000
