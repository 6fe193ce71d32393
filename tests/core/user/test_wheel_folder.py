"""Where a user's wheel is unpacked."""

import os
import subprocess
import sys
from pathlib import Path

ADDRESS = f"s3://data/triage-1.0-py3-none-any.whl#sha256={'0' * 64}"


def test_a_folder_that_cannot_be_made_ends_the_interpreter_with_a_sentence(tmp_path: Path) -> None:
    """Any other exception would be printed and passed over, and the task would start without the wheel."""
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "BT_WHEEL": ADDRESS, "BT_CACHE": str(tmp_path / "file")}
    call = "from bt_core.user_wheel import activate; activate(); print('started')"
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.stderr.startswith(f"bt-error 1: The folder {tmp_path}/file/wheels cannot be made (Not a directory)")
    assert done.returncode == 1
