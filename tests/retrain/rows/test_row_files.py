"""Data that grows, in folders and in S3, good and bad."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.data import collected_notes
from bt_core.errors import DataError
from bt_core.records import Row, write_jsonl
from bt_core.steps.retrain.row_files import read_chunks
from tests.retrain import toy
from tests.s3 import Server, use

ONE: Row = {"thing": "pen", "colour": "red"}
TWO: Row = {"thing": "cup", "colour": "green"}


def read(data: object, **settings: object) -> list[tuple[str, list[Row]]]:
    return read_chunks(toy.task, toy.config("none", data=str(data), **settings))


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "2026-02" / "part-0.jsonl", [TWO])
    (tmp_path / "2026-10.csv").write_text("thing,colour\npen,red\n")
    write_jsonl(tmp_path / "2026-01.jsonl", [ONE])
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "README.md").write_text("Rows.")
    assert read(tmp_path) == [("2026-01.jsonl", [ONE]), ("2026-02/part-0.jsonl", [TWO]), ("2026-10.csv", [ONE])]


def test_labels_of_csv_are_texts_without_the_blanks_around_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("thing,colour\n007,red \nNA,green\n")
    with collected_notes() as notes:
        assert read(tmp_path) == [("a.csv", [{"thing": "007", "colour": "red"}, {"thing": "NA", "colour": "green"}])]
    assert notes == [f"{tmp_path}/a.csv has 1 label with blanks around it in `colour`: they are taken off."]


def test_an_s3_prefix_is_read_like_a_folder(s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, s3.endpoint)
    for name, row in (("2026-02.jsonl", TWO), ("2026-01.jsonl", ONE)):
        s3.client.put_object(Bucket="data", Key=f"fresh/daily/{name}", Body=json.dumps(row).encode())
    assert read("s3://data/fresh/daily") == [("2026-01.jsonl", [ONE]), ("2026-02.jsonl", [TWO])]
    assert read("s3://data/fresh/daily/") == read("s3://data/fresh/daily")
    with pytest.raises(DataError, match=r"^s3://data/fresh/nothing/ holds no"):
        read("s3://data/fresh/nothing")
    s3.client.put_object(Bucket="data", Key="fresh/daily/2026-03.jsonl", Body=b'{"thing": 1}\n{"thing":')
    with pytest.raises(DataError, match=r"^s3://data/fresh/daily/2026-03\.jsonl, line 2: broken JSON"):
        read("s3://data/fresh/daily")


def test_one_file_and_the_tasks_own_splits_are_one_chunk(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [ONE, TWO])
    assert read(tmp_path / "rows.jsonl") == [("", [ONE, TWO])]
    with pytest.raises(DataError, match="The task `vote` brings no data"):
        read("")


def test_columns_are_renamed(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"item": "pen", "colour": "red"}])
    assert read(tmp_path, columns={"thing": "item"}) == [("a.jsonl", [ONE])]


def test_bad_data_are_a_sentence_that_names_file_and_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data file"):
        read(tmp_path)
    write_jsonl(tmp_path / "a.jsonl", [])
    with pytest.raises(DataError, match="holds no rows: check the address, or wait for the first data"):
        read(tmp_path)
    write_jsonl(tmp_path / "b.jsonl", [ONE, {"thing": "cup"}])
    with pytest.raises(DataError, match=rf"^{tmp_path}/b\.jsonl, row 2: no column `colour` \(it has thing\)"):
        read(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"thing": "pen"\n')
    with pytest.raises(DataError, match=rf"^{tmp_path}/b\.jsonl, line 1: broken JSON"):
        read(tmp_path)


def test_a_row_without_its_group_is_a_sentence(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{**ONE, "page": 7}, TWO])
    grouped = replace(toy.task, group="page")
    with pytest.raises(DataError, match=rf"^{tmp_path}/a\.jsonl, row 2: no column `page` \(it has colour, thing\)"):
        read_chunks(grouped, toy.config("none", data=str(tmp_path)))
