"""The generated docs say what the code says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bt_core.formats.rows import ComparedRow
from bt_core.formats.run_result import RunResult
from bt_core.formats.sweep import Sweep
from bt_core.formats.traces import read_traces
from bt_core.program import read_program
from bt_core.records import write_jsonl

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("tool", sorted(ROOT.glob("docs/tools/*_docs.py")), ids=lambda path: path.stem)
def test_generated_docs_are_up_to_date(tool: Path) -> None:
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_examples_of_formats_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    trace, program, row, result, sweep = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    write_jsonl(tmp_path / "traces", [json.loads(trace)])
    assert [call.predictor for call in read_traces(tmp_path / "traces")[0].calls] == ["shade", "paint"]
    (tmp_path / "program.json").write_text(program)
    assert [step.stage for step in read_program(tmp_path, verify=False).lineage] == ["1.p", "2.w"]
    assert ComparedRow.model_validate_json(row).vanilla.score == 1.0
    assert RunResult.parse(result, "result.json").shipped == "2.w"
    assert [arm.name for arm in Sweep.parse(sweep, "sweep.json").arms] == ["p -> w"]
