"""Selection: the better program by validation, the earlier on ties, carried through steps that are worse."""

from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.errors import ProgramError
from bt_core.program import LineageStep, program_sha256, read_program, write_program
from bt_core.records import StageReport
from bt_core.steps.handover import best_program
from bt_core.steps.select import Selection
from tests.core.flow import Flow
from tests.core.steps.test_defects import TOY


def _scored(folder: Path, name: str, before: float, after: float) -> None:
    program = read_program(folder / "vanilla")
    step = LineageStep("p", name, 0, {}, program_sha256(folder / "vanilla"), before, after)
    write_program(replace(program, lineage=(step,)), folder / name)


@pytest.mark.parametrize(
    ("before", "after", "mode", "kept"),
    [
        (0.5, 0.6, "best", "challenger"),
        (0.5, 0.5, "best", "vanilla"),
        (0.5, 0.4, "best", "vanilla"),
        (0.5, 0.4, "last", "challenger"),
    ],
)
def test_select_keeps_the_better_and_the_earlier_on_ties(
    before: float, after: float, mode: str, kept: str, tmp_path: Path, tiny_folder: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, select=mode)
    _scored(tmp_path, "challenger", before, after)
    before_it, made = _bytes(tmp_path / "vanilla"), _bytes(tmp_path / "challenger")
    selection = flow.select("vanilla", "challenger")
    assert selection == Selection(tmp_path / kept, before, after, kept == "challenger")
    beside = {f"best/{name}": content for name, content in before_it.items()} if kept == "vanilla" else {}
    assert _bytes(tmp_path / "challenger") == made | beside | {"reports.jsonl": b""}
    report = selection.told(StageReport("1.p", "p", metrics={"val/score": after}, note="Words."))
    score = after if kept == "challenger" else before
    assert report.metrics == {"val/score": after, "select/best": score, "select/new": float(kept == "challenger")}
    told = f"Best so far is {'this step' if kept == 'challenger' else 'the earlier'}"
    assert report.note.startswith(f"Words.\n\n{told}")
    assert report.note.endswith(f" program: {after:.3f} against {before:.3f} on validation.")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_best_program_passes_through_steps_that_are_worse(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    _scored(tmp_path, "good", 0.5, 0.7)
    best = _bytes(tmp_path / "good")
    flow.select("vanilla", "good")
    _scored(tmp_path, "worse", 0.7, 0.4)
    _scored(tmp_path, "equal", 0.4, 0.7)
    flow.select("good", "worse")
    selection = flow.select("worse", "equal")
    assert (selection.incumbent, selection.challenger, selection.is_new) == (0.7, 0.7, False)
    for name in ("worse", "equal"):
        assert best_program(tmp_path / name) == tmp_path / name / "best"
        assert _bytes(tmp_path / name / "best") == best, "without what lay beside it"
    _scored(tmp_path, "better", 0.7, 0.8)
    assert flow.select("equal", "better").is_new
    assert best_program(tmp_path / "better") == tmp_path / "better"


def test_a_step_that_changed_nothing_is_called_so(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    _scored(tmp_path, "same", 0.5, 0.5)
    told = flow.select("vanilla", "same").told(StageReport("1.p", "p"))
    assert told.params == {"unchanged": True}
    assert told.warnings == ("`1.p` changed nothing: its program is the one that it began with.",)
    skipped = flow.select("vanilla", "same").told(
        StageReport("1.w", "w", metrics={"w/skipped": 1.0}, warnings=("No.",))
    )
    assert skipped.warnings == ("No.",)
    program = read_program(tmp_path / "same")
    states = {name: replace(state, instructions="Else.") for name, state in program.predictors.items()}
    write_program(replace(program, predictors=states), tmp_path / "other")
    assert flow.select("vanilla", "other").told(StageReport("1.p", "p")).warnings == ()


def test_with_the_setting_last_no_earlier_program_is_kept(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, select="last")
    for program, made, after in (("vanilla", "one", 0.7), ("one", "two", 0.4)):
        _scored(tmp_path, made, 0.5, after)
        flow.select(program, made)
        assert best_program(tmp_path / made) == tmp_path / made


def test_select_refuses_a_program_without_a_validation_score(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    with pytest.raises(ProgramError, match="no validation score in its lineage"):
        flow.select("vanilla", "vanilla")
