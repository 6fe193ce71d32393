"""The error tree: a sentence, an exit status, and the mark that carries both out of a task's process."""

import errno
import shutil
from pathlib import Path

import pytest

from bt_core import errors
from bt_core.errors import BtError, DataError, EngineError, UserError, WorldError, first_line, one_sentence

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BtError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_whose_it_is(kind: type[BtError]) -> None:
    assert kind.exit_status == (2 if issubclass(kind, UserError) else 1)
    if issubclass(kind, UserError):
        assert issubclass(kind, ValueError)
    if issubclass(kind, WorldError):
        assert issubclass(kind, RuntimeError)


@pytest.mark.parametrize(
    ("error", "status"),
    [(DataError("Row 3\nis  wrong."), 2), (EngineError("Row 3 is wrong."), 1)],
    ids=["user", "world"],
)
def test_one_sentence_marks_the_line_and_exits(error: BtError, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, one_sentence():
        raise error
    assert caught.value.code == status
    assert capsys.readouterr().err == f"bt-error {status}: Row 3 is wrong.\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left", "/data/rows"),
            "/data/rows cannot be written (No space left): make room,",
        ),
        (OSError(errno.EFBIG, "File too large"), "A file cannot be written (File too large): make room,"),
        (OSError(errno.EROFS, "Read-only", "/data"), "/data cannot be written (Read-only): use another disk,"),
    ],
    ids=["full", "quota", "read-only"],
)
def test_a_disk_that_takes_no_more_is_a_sentence(
    error: OSError, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, one_sentence():
        raise error
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"bt-error 1: {sentence} then run the command again.\n"


def test_a_disk_that_takes_no_more_of_a_folder_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program" / "adapter").mkdir(parents=True)
    (tmp_path / "program" / "adapter" / "weights").write_text("1")

    def copy(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", source, None, target)

    with pytest.raises(SystemExit), one_sentence():
        shutil.copytree(tmp_path / "program", tmp_path / "copy", copy_function=copy)
    said = capsys.readouterr().err
    assert said.startswith(f"bt-error 1: {tmp_path}/copy/adapter/weights cannot be written (No space left on device): ")

    with pytest.raises(shutil.Error), one_sentence():
        shutil.copytree(
            tmp_path / "program", tmp_path / "other", copy_function=lambda source, target: Path(target).read_text()
        )


def test_another_error_of_a_file_is_a_bug() -> None:
    with pytest.raises(FileNotFoundError), one_sentence():
        raise FileNotFoundError(errno.ENOENT, "No such file", "/data")


@pytest.mark.parametrize(
    ("error", "line"),
    [(OSError("\nNo file.\nSee below."), "No file."), (RuntimeError(), "RuntimeError")],
    ids=["several lines", "silent"],
)
def test_a_librarys_error_is_told_in_a_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_our_own_bugs_keep_their_traceback() -> None:
    with pytest.raises(KeyError), one_sentence():
        raise KeyError("bug")
