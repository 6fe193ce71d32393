"""The report of a sweep says what the shipped program scores by itself, beside the mean of its arm."""

import json
from pathlib import Path

import pytest

from bt_core.formats.rows import ScoredRow, write_results
from bt_core.formats.sweep import Sweep, SweepFigures
from bt_core.program import Program, write_program
from bt_core.records import StageReport
from bt_core.statistics import paired_difference
from bt_core.steps.sweep.folders import ComparedFolder
from bt_core.steps.sweep.report_sweep import report_sweep
from tests.report.sweeps import ordinary

PROGRAM = Program("tests.core.toy:task", "tiny", "abc", {})
#: Scores of vanilla and of the program to ship on 20 test rows: 0.3 and 0.7, which is not its arm's mean.
BEFORE, AFTER = [1.0] * 6 + [0.0] * 14, [0.0] * 2 + [1.0] * 14 + [0.0] * 4


def _reported(folder: Path, winner: str | None = "p -> w", alpha: float = 0.05) -> tuple[StageReport, Sweep]:
    content = ordinary({"p": 0.6, "p -> w": 0.8}) | {"alpha": alpha}
    del content["changed"]
    content["winner"] = winner and {"arm": winner, "seed": 1}
    compared = ComparedFolder(folder / "compared")
    SweepFigures.parse(json.dumps(content), "sweep.json").write(compared.sweep)
    for path, scores in ((compared.vanilla, BEFORE), (compared.results, AFTER if winner else BEFORE)):
        write_results(path, [_row(number, score) for number, score in enumerate(scores)])
    write_program(PROGRAM, folder / "program")
    report = report_sweep(compared, folder / "program", folder / "sweep.json", folder / "shipped")
    return report, Sweep.read(folder / "sweep.json")


def _row(number: int, score: float) -> ScoredRow:
    return ScoredRow(example=str(number), row={"thing": str(number)}, score=score, prediction={}, error=None)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_winner_has_its_own_score_and_its_paired_interval_at_the_level_of_the_sweep(
    alpha: float, tmp_path: Path
) -> None:
    _, sweep = _reported(tmp_path, alpha=alpha)
    assert sweep.winner
    assert sweep.winner.score == pytest.approx(0.7)
    arm = next(arm for arm in sweep.arms if arm.name == "p -> w")
    assert arm.mean == pytest.approx(0.8, abs=0.05), "the mean of three other programs, in this made-up sweep"
    expected = paired_difference(BEFORE, AFTER, confidence=1.0 - alpha, seed=0)
    own = sweep.winner.versus_vanilla
    assert (own.mean, own.low, own.high) == (expected.mean, expected.low, expected.high)
    assert own.mean == pytest.approx(0.4)


def test_mlflow_gets_the_figures_of_the_shipped_program_and_those_of_its_arm_under_other_names(tmp_path: Path) -> None:
    report, sweep = _reported(tmp_path)
    assert sweep.winner
    own, arm = sweep.winner.versus_vanilla, next(arm for arm in sweep.arms if arm.name == "p -> w")
    assert arm.versus_vanilla
    ends = {"test/difference_low": own.low, "test/difference_high": own.high}
    of_arm = {"test/arm_difference_low": arm.versus_vanilla.low, "test/arm_difference_high": arm.versus_vanilla.high}
    assert report.metrics == {
        "test/vanilla": sweep.vanilla.mean,
        "test/rows": 300.0,
        "test/final": sweep.winner.score,
        "test/difference": own.mean,
        "test/arm": arm.mean,
        "test/arm_difference": arm.versus_vanilla.mean,
        **ends,
        **of_arm,
    }


def test_the_note_says_both(tmp_path: Path) -> None:
    report, sweep = _reported(tmp_path)
    assert sweep.shipped in report.note.splitlines()
    own, arm = sweep.winner, next(arm for arm in sweep.arms if arm.name == "p -> w")
    assert own
    interval = f"{own.versus_vanilla.low:+.3f} to {own.versus_vanilla.high:+.3f}"
    assert sweep.shipped == (
        "The shipped program, `p -> w` under seed 1, scores 0.700 by itself, which is +0.400 (95% interval "
        f"{interval}; over test rows, not seeds) against vanilla; {arm.mean:.3f} is the mean of its arm's 3 programs."
    )


def test_where_vanilla_stays_nothing_is_said_of_a_program(tmp_path: Path) -> None:
    report, sweep = _reported(tmp_path, winner=None)
    assert (sweep.winner, sweep.shipped) == (None, "")
    assert report.metrics.keys() == {"test/vanilla", "test/rows"}
