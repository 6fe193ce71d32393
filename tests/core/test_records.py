"""Plain records and their files."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.errors import DataError
from bt_core.formats.reports import load_report
from bt_core.formats.traces import read_traces
from bt_core.records import (
    Call,
    StageReport,
    Trace,
    Usage,
    canonical_json,
    dump_report,
    read_jsonl,
    row_id,
    write_jsonl,
    write_traces,
)

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(st.text(), JSON, max_size=4)


@given(USAGES, USAGES)
def test_usage_adds_and_subtracts(first: Usage, second: Usage) -> None:
    assert first + second == second + first
    assert (first + second) - second == first
    assert first + Usage() == first


@given(ROWS)
def test_a_rows_name_depends_on_its_content_alone(row: dict[str, object]) -> None:
    shuffled = dict(sorted(row.items(), reverse=True))
    assert row_id(row) == row_id(shuffled)
    assert len(row_id(row)) == 16
    assert row_id({**row, "extra column": 1}) != row_id(row)


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"score": float("nan")})


@given(rows=st.lists(ROWS, max_size=5))
def test_jsonl_round_trip(rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows


def test_a_line_separator_inside_a_text_is_no_line_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert read_jsonl(path) == [{"text": "a\u2028b"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"a": 1}\n\n{"a": \n', "line 3: broken JSON"),
        (b'{"a": 1}\n[1]\n', "line 2: expected a JSON object, found list"),
        (b'{"a": "\xff"}\n', "not UTF-8 text (byte 7)"),
        (b'{"a": 1}\n{"a": "\\ud83d"}\n', "line 2: broken JSON (it has half a surrogate pair"),
        (b'{"a": 1}\n{"a": NaN}\n', "line 2: broken JSON (NaN is no JSON number)"),
        (b'{"a": 1}\n{"a": 1, "a": 2}\n', "line 2: broken JSON (the key 'a' is there twice)"),
        (b'{"a": ' + b"[" * 3000 + b"]" * 3000 + b"}\n", "line 1: broken JSON (it is nested more than 100 levels"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "line 1: broken JSON (the number 99999999999999999999... has more than 300"),
    ],
    ids=["broken", "no-object", "no-text", "half-a-surrogate-pair", "nan", "key-twice", "deep", "digits"],
)
def test_bad_jsonl_names_the_line(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: check the path"):
        read_jsonl(tmp_path / "none.jsonl")


def test_traces_round_trip(tmp_path: Path) -> None:
    call = Call("country", {"city": "Oslo"}, {"country": "Norway"}, {"Norway": -0.5, "Sweden": -0.9})
    traces = [
        Trace("a", 1.0, (call, Call("continent", {}, {})), {"continent": "Europe"}),
        Trace("b", 0.0, error="no answer", attempt=1),
    ]
    write_traces(tmp_path / "traces.jsonl", traces)
    assert read_traces(tmp_path / "traces.jsonl") == traces


def test_a_broken_foreign_trace_is_refused_with_its_row(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "traces.jsonl", [asdict(Trace("a", 1.0)), {"example": "b", "colour": "red"}])
    with pytest.raises(DataError, match=r"row 2: not a trace .*colour"):
        read_traces(tmp_path / "traces.jsonl")


REPORT = StageReport(
    "1.p", "p", {"candidates": 6}, {"val/score": 0.5}, {"search/score": [(0, 0.25), (1, 0.5)]}, "# Note", ("Few.",),
    Usage(calls=3, seconds=0.5), 1.0, 2.0,
)  # fmt: skip


def test_a_report_round_trip() -> None:
    assert load_report(dump_report(REPORT)) == REPORT


def test_a_compact_report_leaves_out_what_only_tracking_needs() -> None:
    compact = load_report(dump_report(REPORT, compact=True))
    assert (compact.series, compact.note) == ({}, "")
    assert compact.metrics == REPORT.metrics
