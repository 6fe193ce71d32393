"""Rows and splits."""

import json
import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Rows
from bt_core.data import load_splits, read_rows
from bt_core.errors import DataError
from bt_core.records import Row
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


def documents(groups: int = 24, size: int = 3) -> list[Row]:
    """Questions about documents; the colours are mixed in every document."""
    pairs = [(document, number) for document in range(groups) for number in range(size)]
    return [
        {
            "thing": f"question {number} of {document}",
            "document": f"d{document}",
            "colour": ("red", "green")[number % 2],
        }
        for document, number in pairs
    ]


def documents_of(splits: dict[str, list[Row]]) -> dict[str, Counter[str]]:
    return {name: Counter(row["document"] for row in rows) for name, rows in splits.items()}


@given(st.integers(0, 50), st.sampled_from([1, 2, 5, 7]))
def test_no_group_is_in_two_splits(seed: int, size: int) -> None:
    """Sizes are met exactly: the last group of a split is cut, and what is cut off is in no other split."""
    task = toy.make(data=lambda: documents(60 // size, size), group="document")
    splits = load_splits(task, "", SIZES, seed)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 12, "val": 8, "test": 8}
    found = documents_of(splits)
    assert sum(len(counts) for counts in found.values()) == len(found["train"] | found["val"] | found["test"])
    for counts in found.values():
        assert sum(count < size for count in counts.values()) <= 1


def test_groups_keep_the_classes_in_proportion() -> None:
    """Groups of one class each, and of unequal sizes, are spread like rows."""
    rows = [
        {"thing": f"{group}.{number}", "document": f"d{group}", "colour": "red" if group % 3 else "green"}
        for group in range(120)
        for number in range(1 + group % 4)
    ]
    splits = load_splits(toy.make(data=lambda: rows, group="document"), "", Rows(train=90, val=60, test=90), 1)
    share = sum(row["colour"] == "red" for row in rows) / len(rows)
    for name, part in splits.items():
        assert abs(sum(row["colour"] == "red" for row in part) / len(part) - share) < 0.08, name


@pytest.mark.parametrize("group", ["", "document"])
@pytest.mark.parametrize("stratify", ["", "colour"])
@pytest.mark.parametrize("kind", ["rows", "train and test", "three splits"])
@given(seed=st.integers(0, 20))
def test_a_larger_test_split_has_the_rows_of_the_smaller_one(group: str, stratify: str, kind: str, seed: int) -> None:
    """Train and validation rows stay the same; extending a sweep by more test rows rests on this."""
    rows = documents()
    given: Any = rows
    if kind != "rows":
        given = {"train": rows[:36], "test": rows[36:]}
        if kind == "three splits":
            given = {"train": rows[:18], "val": rows[18:36], "test": rows[36:]}
    task = toy.make(data=lambda: given, group=group, stratify=stratify)
    small, large = (load_splits(task, "", Rows(train=12, val=8, test=size), seed) for size in (9, 23))
    assert (small["train"], small["val"]) == (large["train"], large["val"])
    assert {row["thing"] for row in small["test"]} < {row["thing"] for row in large["test"]}


def test_too_few_groups_are_counted() -> None:
    task = toy.make(data=lambda: documents(4, 7), group="document")
    with pytest.raises(
        DataError,
        match=r"The data of task `toy` has 28 rows in 4 groups \(`document`\), and no group may be in two splits: only"
        r" 0 rows are left for test, but 8 were asked for; lower `rows` or bring more groups\.",
    ):
        load_splits(task, "", SIZES, 0)


def test_a_row_without_its_group_is_refused() -> None:
    rows = documents()
    rows[4] = {"thing": "alone", "colour": "red"}
    with pytest.raises(DataError, match=r"row 5: no column `document` \(it has colour, thing\); task `toy` needs"):
        load_splits(toy.make(data=lambda: rows, group="document"), "", SIZES, 0)


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "test")])
def test_a_group_in_two_given_splits_is_refused(parts: tuple[str, ...]) -> None:
    rows = documents(12, 3)
    given = {"train": rows[:19], "test": rows[19:]}
    if "val" in parts:
        given = {"train": rows[:12], "val": rows[12:19], "test": rows[19:]}
    task = toy.make(data=lambda: given, group="document")
    sizes = Rows(train=12, val=6, test=17)
    with pytest.raises(
        DataError,
        match=r"The group 'd6' \(`document`\) is in (train|val) \(row \d+\) and in test \(row \d+\), and rows of one"
        r" group are not independent: move it into one of them\.",
    ):
        load_splits(task, "", sizes, 1)
    given["test"] = rows[21:]
    assert load_splits(task, "", sizes.model_copy(update={"test": 15}), 1).keys() == {"train", "val", "test"}


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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 3000 + "]" * 3000, "nested more than 100 levels"),
        ('[{"text": "' + "x" * 9 + '", "deep": ' + "[" * 5000, "nested more than 100 levels"),
        ('{"text": "a"}\n{"text": ' + "[" * 5000, "line 2: broken JSON"),
        ('[{"text": "\\ud83d"}]', "half a surrogate pair"),
        ('[{"text": "a"}, 3]', "item 2: expected a JSON object, found int"),
    ],
)
def test_a_hostile_json_file_is_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_rows(tmp_path / "rows.json")


def test_a_json_file_is_a_list_or_one_row_after_the_other(tmp_path: Path) -> None:
    rows = [{"text": "2024-01-05", "n": 1}, {"text": "b", "n": 2.5}]
    for text in (json.dumps(rows), "\n".join(map(json.dumps, rows))):
        (tmp_path / "rows.json").write_text(text)
        assert read_rows(tmp_path / "rows.json") == rows
