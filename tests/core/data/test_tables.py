"""CSV and TSV: cells are what is written, and a file that is no table is refused by its line."""

from pathlib import Path

import pytest

from bt_core.data import collected_notes, read_rows
from bt_core.errors import DataError

CELLS = ["010", "00007", "NA", "None", "nan", "null", "1e5", "1.0", "True", "2026-01-01", " a ", '5" disk', "-0"]


def read(folder: Path, content: str | bytes, name: str = "rows.csv") -> list[dict[str, str | None]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path)


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "|"), ("a.tsv", "\t")])
def test_cells_are_the_text_that_is_written(name: str, delimiter: str, tmp_path: Path) -> None:
    content = f"text{delimiter}label\n" + "".join(f"{cell}{delimiter}x\n" for cell in CELLS)
    assert [row["text"] for row in read(tmp_path, content, name)] == CELLS


def test_an_empty_cell_is_null(tmp_path: Path) -> None:
    assert read(tmp_path, 'text,label\n,x\n"",y\n') == [{"text": None, "label": "x"}, {"text": None, "label": "y"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("text,label\nChicago, on a sunny day 0,north\n", r"rows\.csv, line 2: 3 cells, but the first line has 2"),
        ("text,label\nParis,north\nRome\n", r"line 3: 1 cell, but the first line has 2"),
        ('text,label\n"two\nlines",x\n\nRome\n', r"line 5: 1 cell,"),
        ("text\nRome, the city\n", r"line 2: 2 cells, but the first line has 1"),
        ('text,label\n"a" b,x\n', r"line 2: broken quotation marks"),
        ('text,label\n"say \\"hi\\"",x\n', r"line 2: broken quotation marks"),
        ('text,label\na,x\n"never closed,x\nb,y\n', r"line 3: broken quotation marks"),
        ("text,label,text\na,b,c\n", r"line 1: two columns are called `text`: rename one"),
        (b"text,label\nParis,x\nZ\xfcrich,x\n", r"line 3: not UTF-8 text \(byte 20 of the file is 0xfc\): save it as"),
        ("text,label\nParis,x\n".encode("utf-16-le"), "holds NUL characters, as UTF-16 without a byte order mark"),
        (b"\xff\xfet\x00\x00", r"line 1: not UTF-16 text"),
    ],
    ids=range(11),
)
def test_what_is_no_table_is_refused(content: str | bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_quotation_mark_in_a_tsv_file_swallows_no_rows(tmp_path: Path) -> None:
    """Both lines would be one cell, with a table of the right form."""
    with pytest.raises(DataError, match=r"a\.tsv, line 2: broken quotation marks"):
        read(tmp_path, 'text\tlabel\n"Hello\tx\nshe said "hi"\ty\n', "a.tsv")
    assert read(tmp_path, 'text\tlabel\n"a ""b"""\tx\n', "a.tsv") == [{"text": 'a "b"', "label": "x"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_line_ends(encoding: str, end: str, tmp_path: Path) -> None:
    with collected_notes() as notes:
        rows = read(
            tmp_path,
            end.join(["text,label", '"Zürich, 😀"\u2028,x', ""]).replace('"\u2028', '\u2028"').encode(encoding),
        )
    assert rows == [{"text": "Zürich, 😀\u2028", "label": "x"}]
    assert len(notes) == (encoding in ("utf-16", "utf-32"))
    assert all(f"is read as {encoding.upper()}, as its byte order mark says" in note for note in notes)


@pytest.mark.parametrize(
    ("content", "columns", "shown"),
    [
        ("text;label\nParis, France;x\n", {"text", "label"}, "`;`"),
        ("text\tlabel\nParis, France; Europe\tx\n", {"text", "label"}, "tabs"),
        ("text, long;label\nParis;x\n", {"text, long", "label"}, "`;`"),
        ('"text;long",label\nParis,x\n', {"text;long", "label"}, ""),
    ],
    ids=["semicolon", "tab", "comma in a name", "semicolon in a name"],
)
def test_the_delimiter_is_found_and_said(content: str, columns: set[str], shown: str, tmp_path: Path) -> None:
    with collected_notes() as notes:
        (row,) = read(tmp_path, content)
    assert row.keys() == columns
    assert [note.partition("is read with ")[2] for note in notes] == ([f"{shown} between its cells."] if shown else [])


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    """Such as pandas writes for its index."""
    with collected_notes() as notes:
        assert read(tmp_path, ",text, label\n0,a,x\n1,b,y\n")[1] == {"text": "b", "label": "y"}
    assert notes == [f"{tmp_path}/rows.csv has a column without a name, column 1: it is left out."]


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, f"text,label\n{'a' * 200_000},x\n")[0]["text"] == "a" * 200_000


@pytest.mark.parametrize("content", ["", "text,label\n", "\n\n"])
def test_a_file_without_rows(content: str, tmp_path: Path) -> None:
    assert read(tmp_path, content) == []
