"""The generated docs say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("tool", sorted(ROOT.glob("docs/tools/*_docs.py")), ids=lambda path: path.stem)
def test_generated_docs_are_up_to_date(tool: Path) -> None:
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
