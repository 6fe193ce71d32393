"""The temporary folder of a publication: gone at its end, and after a kill with the next one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bt_core.bundle.scratch import scratch_folder

HOLD = """
import sys
from bt_core.bundle.scratch import scratch_folder

with scratch_folder() as folder:
    (folder / "bundle").mkdir()
    print(folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_there_for_the_block(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == temporary
        assert folder.is_dir()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_block_and_nothing_else(temporary: Path) -> None:
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, encoding="utf-8") for _ in range(2)
    ]
    held = [Path(process.stdout.readline().strip()) for process in processes if process.stdout]
    (temporary / "bt-scratch-of-somebody").mkdir()
    processes[0].kill()
    processes[0].wait()
    assert held[0].exists()
    with scratch_folder():
        assert not held[0].exists()
        assert (held[1] / "bundle").is_dir(), "its process lives"
    processes[1].communicate("\n")
    assert [path.name for path in temporary.iterdir()] == ["bt-scratch-of-somebody"]
