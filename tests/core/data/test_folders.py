"""Which files of a folder, and which parts of a dictionary, are which split; what is not read is named."""

import json
from pathlib import Path

import pytest

from bt_core.config import Rows
from bt_core.data import collected_notes, load_splits, read_source
from bt_core.errors import DataError
from tests.core import toy


def fill(folder: Path, *names: str) -> Path:
    """A folder of files with two rows each, which name their file."""
    folder.mkdir(exist_ok=True)
    for name in names:
        things = [f"{name} {number}" for number in range(2)]
        lines = [json.dumps({"thing": thing, "colour": "red"}) for thing in things]
        if name.endswith("csv"):
            lines = ["thing,colour", *(f"{thing},red" for thing in things)]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def things(folder: Path) -> dict[str, list[str]]:
    found = read_source(str(folder))
    assert isinstance(found, dict)
    return {split: [row["thing"] for row in rows] for split, rows in found.items()}


@pytest.mark.parametrize("name", ["val", "validation", "valid", "dev", "Validation", "DEV"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "JSONL"])
def test_the_split_that_chooses_has_several_names(name: str, suffix: str, tmp_path: Path) -> None:
    folder = fill(tmp_path, "train.jsonl", f"{name}.{suffix}", "test.jsonl")
    with collected_notes() as notes:
        assert things(folder)["val"] == [f"{name}.{suffix} 0", f"{name}.{suffix} 1"]
    assert notes == []


@pytest.mark.parametrize(
    "parts",
    [
        ["train.part1.jsonl", "train.part2.jsonl", "train.part10.jsonl"],
        ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"],
        ["train_1.csv", "train_2.csv"],
        ["train-shard-0.jsonl", "train-shard-1.jsonl"],
        ["train1.json", "train2.json"],
    ],
    ids=lambda parts: parts[0],
)
def test_numbered_parts_are_joined_in_their_order(parts: list[str], tmp_path: Path) -> None:
    folder = fill(tmp_path, *parts, "test.jsonl")
    assert things(folder)["train"] == [f"{part} {number}" for part in parts for number in range(2)]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["train.csv", "train.jsonl"],
            r"several files for the split train \(train\.csv, train\.jsonl\), which are not",
        ),
        (["train.jsonl", "train.part1.jsonl"], r"several files for the split train"),
        (["train.part1.csv", "train.part2.jsonl"], r"several files for the split train"),
        (["train.part1.jsonl", "train_1.jsonl"], r"several files for the split train"),
        (["train.jsonl", "dev.jsonl", "validation.jsonl"], r"several files for the split val \(dev.jsonl, valid"),
        (["train-00000-of-00002.jsonl"], r"has 1 of the 2 parts of the split train \(train-00000-of-00002\.jsonl\)"),
        (["Train.txt"], r"has no train\.jsonl \(or \.csv, \.tsv, \.parquet, \.json\): add it"),
    ],
    ids=range(7),
)
def test_files_that_could_be_meant_otherwise_are_refused(names: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        things(fill(tmp_path, *names, "test.jsonl"))


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path, "train.jsonl", "test.jsonl", "extra.csv", "train_old.jsonl", "test.jsonl.gz", "README.md")
    (folder / "train_images").mkdir()
    with collected_notes() as notes:
        assert things(folder).keys() == {"train", "test"}
    assert notes == [
        f"The data folder {folder} holds what is not read: extra.csv, test.jsonl.gz, train_images, train_old.jsonl."
    ]


@pytest.mark.parametrize(
    "address", ["https://a.org/rows.jsonl", "gs://bucket/rows.jsonl", "S3://bucket/a.jsonl", "file:///rows.jsonl"]
)
def test_other_kinds_of_addresses_are_refused(address: str) -> None:
    with pytest.raises(DataError, match=r"is of a kind that is not read: give a path, s3://bucket/key, or hub:ID"):
        read_source(address)


@pytest.mark.parametrize("name", ["val", "validation", "valid", "dev"])
def test_a_dictionary_follows_the_same_rule(name: str) -> None:
    rows = toy.rows()
    task = toy.make(data={"train": rows[:12], name: rows[12:20], "test": rows[20:], "unsupervised": rows[:3]})
    with collected_notes() as notes:
        splits = load_splits(task, "", Rows(train=12, val=8, test=8), 0)
    assert {row["thing"] for row in splits["val"]} == {row["thing"] for row in rows[12:20]}
    assert notes == ["The data of task `toy` has parts that are not used: unsupervised."]


def test_two_names_of_one_split_are_refused() -> None:
    task = toy.make(data={"train": [], "dev": [], "validation": [], "test": []})
    with pytest.raises(DataError, match=r"has `dev` and `validation`, which are both the split val: drop one"):
        load_splits(task, "", Rows(train=1, val=1, test=1), 0)


def test_the_library_that_loads_hub_ids_follows_it_too(tmp_path: Path) -> None:
    folder = fill(tmp_path / "set", "train.jsonl", "validation.jsonl", "test.jsonl")
    found = read_source(f"hub:{folder}")
    assert isinstance(found, dict)
    assert found["val"][0]["thing"] == "validation.jsonl 0"
