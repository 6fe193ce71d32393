"""Rows and splits."""

import json
import os
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Rows
from bt_core.data import load_splits, read_rows
from bt_core.errors import DataError
from tests.core import toy

SIZES = Rows(train=12, val=8, test=8)


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_files_of_every_kind_are_read(suffix: str, tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [{"thing": f"t{n}", "colour": "red"} for n in range(3)]
    getattr(Dataset.from_list(rows), f"to_{suffix}")(str(tmp_path / f"rows.{suffix}"))
    assert read_rows(tmp_path / f"rows.{suffix}") == rows


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("rows.txt", "a", "no data file known here"),
        ("rows.parquet", "not parquet", "cannot be read as parquet"),
        ("rows.jsonl", '{"a": 1}\n{"a":', r"rows\.jsonl, line 2: broken JSON"),
        ("rows.jsonl", "[1]", "line 1: expected a JSON object, found list"),
    ],
)
def test_malformed_files_are_named(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_rows(tmp_path / name)


def test_a_file_that_was_rewritten_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with the time stamp it had, which is all that the `datasets` library looks at; and no copy stays behind."""
    path, cache = tmp_path / "rows.csv", tmp_path / "cache"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    path.write_text("thing,colour\nt1,red\n")
    assert read_rows(path) == [{"thing": "t1", "colour": "red"}]
    stamp = path.stat()
    path.write_text("thing,colour\nt2,blue\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read_rows(path) == [{"thing": "t2", "colour": "blue"}]
    assert [found for found in cache.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), b"red", float("nan")])
def test_a_value_that_is_no_json_is_named(value: object) -> None:
    task = toy.make(data=lambda: [row | {"extra": value} for row in toy.rows()])
    with pytest.raises(
        DataError, match=r"The data of task `toy`, row 1: `extra` holds .*, which is no JSON: correct or"
    ):
        load_splits(task, "", SIZES, 0)


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
def test_a_folder_may_hold_lines_under_either_name(suffix: str, tmp_path: Path) -> None:
    for number, name in enumerate(("train", "val", "test")):
        (tmp_path / f"{name}.{suffix}").write_text(json.dumps({"thing": f"t{number}", "colour": "red"}) + "\n")
    splits = load_splits(toy.task, str(tmp_path), Rows(train=1, val=1, test=1), 0)
    assert [rows[0]["thing"] for rows in splits.values()] == ["t0", "t1", "t2"]


@given(st.integers(0, 50))
def test_splits_are_disjoint_stratified_and_follow_the_seed(seed: int) -> None:
    splits = load_splits(toy.task, "", SIZES, seed)
    assert splits == load_splits(toy.task, "", SIZES, seed)
    things = [row["thing"] for rows in splits.values() for row in rows]
    assert len(things) == len(set(things)) == 28
    for name, rows in splits.items():
        share = Counter(row["colour"] for row in rows)
        assert max(share.values()) - min(share.values()) <= 2, name


def test_repeated_examples_count_once() -> None:
    task = toy.make(data=lambda: toy.rows() * 2)
    assert load_splits(task, "", SIZES, 0).keys() == {"train", "val", "test"}
    with pytest.raises(DataError, match="28 rows, but 29 were asked for"):
        load_splits(task, "", Rows(train=12, val=8, test=9), 0)


def test_ready_made_splits_are_kept_apart() -> None:
    rows = toy.rows()
    parts = {"train": rows[:12], "val": rows[12:20], "test": rows[20:]}
    splits = load_splits(toy.make(data=lambda: parts), "", SIZES, 0)
    assert {row["thing"] for row in splits["test"]} == {row["thing"] for row in parts["test"]}
    leaking = parts | {"test": [*rows[21:], rows[0]]}
    with pytest.raises(DataError, match="The same example is in train"):
        load_splits(toy.make(data=lambda: leaking), "", SIZES, 0)
    with pytest.raises(DataError, match="has no split val, test"):
        load_splits(toy.make(data=lambda: {"train": rows}), "", SIZES, 0)


def test_a_task_without_data_asks_for_a_file() -> None:
    with pytest.raises(DataError, match="brings no data: give a file with `--data`"):
        load_splits(toy.make(data=None), "", SIZES, 0)


def test_the_built_in_tasks_bring_balanced_and_distinct_rows() -> None:
    from bt_core.task import load_task

    for name, classes in (("continents", 5), ("iris", 3)):
        task = load_task(name)
        rows = list(task.data())
        share = Counter(row[task.stratify] for row in rows)
        assert len(share) == classes
        assert len(set(share.values())) == 1
