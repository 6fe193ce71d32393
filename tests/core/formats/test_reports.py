"""A stage's report is read strictly: what is no report is one sentence that names the keys."""

import json

import pytest

from bt_core.errors import DataError
from bt_core.formats.reports import load_report
from bt_core.records import StageReport, dump_report

REPORT = json.loads(dump_report(StageReport("1.p", "p", series={"train/loss": [(0, 0.5)]}, scores=(0.5,))))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"series": []}, "`series` is [] and should be"),
        ({"series": {"train/loss": [5]}}, "`series.train/loss.0` is 5 and should be"),
        ({"series": {"train/loss": [[0]]}}, "`series.train/loss.0.1` is missing"),
        ({"scores": [7]}, "`scores.0` is 7 and should be less than or equal to 1"),
        ({"scores": [True]}, "`scores.0` is True and should be a valid number"),
        ({"metrics": {"val/score": "high"}}, "`metrics.val/score` is 'high' and should be a valid number"),
        ({"usage": {}}, "`usage.calls` is missing"),
        ({"usage": None}, "`usage` is None and should be"),
        ({"colour": 1}, "`colour` is unknown"),
    ],
    ids=["series", "point", "half-a-point", "score", "true", "metric", "empty-usage", "no-usage", "unknown"],
)
def test_a_wrong_report_is_refused_with_its_key(change: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        load_report(json.dumps(REPORT | change))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "[" * 3000 + "]" * 3000, "9" * 5000, '{"stage": NaN}'],
    ids=["empty", "list", "number", "deep", "digits", "nan"],
)
def test_what_is_no_object_is_no_report(text: str) -> None:
    with pytest.raises(DataError, match=r"^the text is no report: "):
        load_report(text)
