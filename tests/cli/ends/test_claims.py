"""A claim on a folder: one living process has it."""

import subprocess
import sys
from pathlib import Path

from bt_core.shared_files import claimed, is_claimed

CLAIM = """
import sys
from pathlib import Path
from bt_core.shared_files import claimed

with claimed(Path(sys.argv[1])) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_has_the_claim(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path)
    assert not is_claimed(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == [], "asking writes nothing"
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        assert is_claimed(tmp_path)
        with claimed(tmp_path) as is_ours:
            assert not is_ours
        other.kill()
    assert not is_claimed(tmp_path), "a dead process claims nothing"
    with claimed(tmp_path) as is_ours:
        assert is_ours
        assert is_claimed(tmp_path)
    assert not is_claimed(tmp_path)
