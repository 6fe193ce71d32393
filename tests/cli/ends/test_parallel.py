"""Several runs at once, with one cache and one store: each is what it would be alone, and MLflow has them all."""

from pathlib import Path

import pytest

from bt_core.formats.run_result import RunResult
from tests.cli.ends.conftest import SHORT, Start, Started

pytestmark = pytest.mark.slow

RUNS = 4


def test_four_runs_at_once_lose_nothing(start: Start) -> None:
    together = [start(SHORT, out=f"run-{number}") for number in range(RUNS)]
    ended = [(run.process.communicate(timeout=300)[1], run.process.returncode) for run in together]
    assert [status for _, status in ended] == [0] * RUNS, [err for err, status in ended if status]
    assert not any("not in MLflow" in err or "no record of" in err for err, _ in ended)
    alone = start(SHORT, "--no-cache", out="alone")
    assert alone.process.wait(300) == 0

    whole = _content(alone)
    assert [_content(run) for run in together] == [whole] * RUNS
    runs = [RunResult.read(run.folder / "result.json").content()["mlflow"] for run in (*together, alone)]
    assert len({run_id for stages in runs for run_id in stages.values()}) == (RUNS + 1) * 4
    assert set(alone.all_statuses) == {"FINISHED"}
    assert len(alone.all_statuses) == (RUNS + 1) * 6, "parent, prepare, bootstrap, w, evaluate, register"


def _content(run: Started) -> tuple[dict[str, bytes], bytes]:
    """The program and the rows of a run, byte for byte."""
    program = run.folder / "program"
    files = {str(path.relative_to(program)): path.read_bytes() for path in program.rglob("*") if path.is_file()}
    return files, Path(run.folder, "results.jsonl").read_bytes()
