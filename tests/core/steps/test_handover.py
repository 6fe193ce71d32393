"""What lies beside a program while a pipeline passes it on, and the folders of rows and traces."""

from pathlib import Path

import pytest

from bt_core.config import Config
from bt_core.errors import ConfigError, DataError
from bt_core.program import Program, read_program, write_program
from bt_core.records import StageReport, Usage
from bt_core.steps.folders import RowsFolder, SealedFolder, TracesFolder
from bt_core.steps.handover import REPORTS, best_program, copy_program, hand_over, read_stage_reports, stage_reports

CONFIG = Config(task="tests.core.toy:task", seed=3)
REPORTED = [
    StageReport("prepare", "prepare", {"seed": 3}, {"rows/train": 9.0}, note="One line.\nAnother."),
    StageReport(
        "1.w", "w", series={"train/loss": [(n, 1 / (n + 1)) for n in range(99)]}, usage=Usage(3), scores=(1 / 3,)
    ),
    StageReport("2.p", "p", note="a\u2028b\u0085c", warnings=("Zeile\u2029",)),
]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def program(folder: Path, name: str = "program") -> Path:
    """A program directory whose identity depends on its name."""
    write_program(Program("t", name, "r", {}), folder / name)
    return folder / name


def test_a_program_without_anything_beside_it_is_the_best_so_far(tmp_path: Path) -> None:
    folder = program(tmp_path)
    assert best_program(folder) == folder
    assert stage_reports(folder) == []


def test_reports_are_read_back_whole(tmp_path: Path) -> None:
    """Also series and notes, which do not travel as parameters, and any character that splits lines elsewhere."""
    folder = program(tmp_path)
    before = files(folder)
    hand_over(folder, REPORTED)
    assert stage_reports(folder) == REPORTED
    assert {name: content for name, content in files(folder).items() if name != REPORTS} == before


def test_the_earlier_program_lies_beside_the_new_one_without_what_lay_beside_itself(tmp_path: Path) -> None:
    first, second, third = (program(tmp_path, name) for name in ("first", "second", "third"))
    best = files(first)
    hand_over(first, REPORTED[:1])
    hand_over(second, REPORTED[:2], first)
    hand_over(third, REPORTED, best_program(second))
    assert best_program(third) == third / "best"
    assert files(third / "best") == best
    assert stage_reports(third) == REPORTED
    assert read_program(third).model == "third"


@pytest.mark.parametrize("best", [None, "itself"])
def test_a_program_that_is_the_best_has_none_beside_it(best: str | None, tmp_path: Path) -> None:
    folder = program(tmp_path)
    hand_over(folder, REPORTED, folder if best else None)
    assert best_program(folder) == folder
    assert files(folder).keys() == {"program.json", REPORTS}


def test_handing_over_twice_changes_nothing(tmp_path: Path) -> None:
    first, second = program(tmp_path, "first"), program(tmp_path, "second")
    hand_over(second, REPORTED, first)
    once = files(second)
    hand_over(second, REPORTED, first)
    assert files(second) == once


def test_a_copy_has_only_the_program_and_replaces_what_was_there(tmp_path: Path) -> None:
    first, second = program(tmp_path, "first"), program(tmp_path, "second")
    own = files(second) | {"adapter/best": b"1", "adapter/reports.jsonl": b"2"}  # the program's own, whatever its name
    (second / "adapter").mkdir()
    for name in ("best", "reports.jsonl"):
        (second / "adapter" / name).write_bytes(own[f"adapter/{name}"])
    hand_over(second, REPORTED, first)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").touch()
    copy_program(second, tmp_path / "copy")
    assert files(tmp_path / "copy") == own


@pytest.mark.parametrize("text", ["{}", "nonsense", "[]", '{"stage": "1.p"', "\udcff"])
def test_damaged_reports_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / REPORTS
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=r"reports\.jsonl holds no stage reports of this release .*run the task"):
        read_stage_reports(path)


def test_missing_reports_are_refused_where_a_stage_must_have_written_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no stage reports"):
        _ = TracesFolder(tmp_path).reports


def test_the_rows_come_with_the_configuration(tmp_path: Path) -> None:
    rows = RowsFolder(tmp_path)
    rows.write(CONFIG)
    assert rows.config == CONFIG
    assert (rows.train.name, rows.val.name) == ("train.jsonl", "val.jsonl")
    assert files(tmp_path).keys() == {"config.json"}


def test_the_sealed_rows_come_with_the_first_program_alone(tmp_path: Path) -> None:
    vanilla = program(tmp_path)
    own = files(vanilla)
    hand_over(vanilla, REPORTED[:1])
    sealed = SealedFolder(tmp_path / "test")
    sealed.path.mkdir()
    for _ in range(2):  # the second time as after an attempt that was killed
        sealed.write(CONFIG, vanilla)
    assert sealed.config == CONFIG
    assert files(sealed.vanilla) == own
    assert sealed.test == tmp_path / "test" / "test.jsonl"


def test_traces_come_with_the_report_of_their_stage_and_with_the_rows(tmp_path: Path) -> None:
    rows, traces = RowsFolder(tmp_path / "rows"), TracesFolder(tmp_path / "traces")
    for folder in (rows.path, traces.path):
        folder.mkdir()
    rows.train.write_text('{"n": 1}\n')
    rows.val.write_text('{"n": 2}\n')
    rows.write(CONFIG)
    for _ in range(2):  # the second time as after an attempt that was killed
        traces.write(REPORTED[1], rows)
    assert traces.reports == [REPORTED[1]]
    assert traces.traces == tmp_path / "traces" / "traces.jsonl"
    assert files(traces.rows.path) == files(rows.path)
    assert traces.rows.config == CONFIG


@pytest.mark.parametrize("folder", [RowsFolder, SealedFolder])
def test_a_folder_without_a_configuration_is_refused(folder: type[RowsFolder | SealedFolder], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json cannot be read .*: pass a folder that an earlier task"):
        _ = folder(tmp_path).config
    (tmp_path / "config.json").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        _ = folder(tmp_path).config


def test_a_configuration_of_another_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"task": "iris", "nonsense": 1}')
    with pytest.raises(ConfigError, match="nonsense"):
        _ = RowsFolder(tmp_path).config
