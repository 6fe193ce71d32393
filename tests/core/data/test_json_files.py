"""JSON and JSONL: values have the types that are written, and what is no JSON is refused by its line."""

import json
from pathlib import Path

import pytest

from bt_core.config import Rows
from bt_core.data import load_splits, read_rows
from bt_core.errors import DataError
from tests.core import toy

ROWS = [
    {"day": "2026-01-01", "time": "2026-01-01T10:00:00", "zip": "00007", "n": 1, "f": 1.0},
    {"day": None, "more": [1]},
]
HALF = '{"thing": "Chicago \\ud83d", "colour": "red"}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("rows.NDJSON", "\r\n\r\n".join(map(json.dumps, ROWS))),
        ("rows.json", "\n".join(map(json.dumps, ROWS)) + "\n"),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS, indent=2)),
    ],
    ids=["lines", "upper case and blank lines", "lines in .json", "list", "indented list"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_values_are_what_is_written(name: str, text: str, encoding: str, tmp_path: Path) -> None:
    """Dates stay text, numbers keep their kind, and no row gets the columns of another one."""
    (tmp_path / name).write_bytes(text.encode(encoding))
    rows = read_rows(tmp_path / name)
    assert rows == ROWS
    assert [type(value) for value in rows[0].values()] == [str, str, str, int, float]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS[0], indent=1))
    assert read_rows(tmp_path / "a.json") == ROWS[:1]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "a.jsonl",
            f'{{"a": 1}}\n{HALF}\n',
            r"a\.jsonl, line 2: broken JSON \(it has half a surrogate .* at column 20",
        ),
        ("a.json", f'[{{"a": 1}},\n{HALF}]', r"a\.json, line 2: broken JSON \(it has half a surrogate pair"),
        ("a.json", f'{{"a": 1}}\n\n{HALF}\n', r"a\.json, line 3: broken JSON \(it has half"),
        ("a.jsonl", '{"a": 1}\n{"a": NaN}\n', r"line 2: broken JSON \(NaN is no JSON number\); correct the line"),
        ("a.jsonl", '{"a": 1, "a": 2}\n', r"line 1: broken JSON \(the key 'a' is there twice\)"),
        ("a.json", '[{"a": 1},\n{"a" 2}]', r"a\.json, line 2: broken JSON \(.* at column 6\); correct the file"),
        ("a.json", '[{"a": 1}, 7]', r"a\.json, item 2: expected a JSON object, found int"),
        ("a.json", '{"a": 1}\n[2]\n', r"a\.json, line 2: expected a JSON object, found list"),
        ("a.json", "", r"a\.json, line 1: broken JSON"),
        ("a.json", '{"a": 1} x', r"a\.json, line 1: broken JSON \(Extra data at column 10\)"),
    ],
    ids=range(10),
)
def test_what_is_no_json_is_refused(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_rows(tmp_path / name)


def test_half_a_surrogate_pair_in_a_tasks_own_rows_is_named() -> None:
    """Whichever split the row would be in, it is named before any file is written."""
    rows = toy.rows()
    rows[20] |= {"note": "half \ud83d"}
    with pytest.raises(DataError, match=r"row 21: `note` holds 'half .*', which is no JSON: correct or drop"):
        load_splits(toy.make(data=rows), "", Rows(train=2, val=2, test=2), 0)
