"""A run that starts from a finished program: what it inherits, what it measures again, and what is refused."""

from pathlib import Path
from typing import Any

import dspy
import pytest

from bt_core.bundle import publish
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ModelError, ProgramError
from bt_core.models import BaseModel
from bt_core.program import START, program_sha256, read_program
from bt_core.records import StageReport
from bt_core.steps.prepare import prepare
from bt_core.steps.sweep.score import score
from tests.core import toy
from tests.core.flow import Flow
from tests.core.programs import LINEAGE, finished
from tests.s3 import Server, use

TASK = "tests.core.toy:task"

other_fields = toy.make(program=lambda: dspy.Predict("thing -> colour"))


@pytest.fixture(scope="module")
def program(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("start"), toy.task, TASK, tiny_model)


def _prepare(folder: Path, engine: TransformersEngine | None = None, **settings: Any) -> StageReport:
    splits = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    return prepare({"task": TASK, **settings}, *splits, folder / "vanilla", engine)[1]


def test_prepare_writes_the_program_that_a_run_starts_from(program: Path, tmp_path: Path) -> None:
    report = _prepare(tmp_path, start=str(program))
    begun, finished_one = read_program(tmp_path / "vanilla"), read_program(program)
    assert begun.predictors == finished_one.predictors
    assert begun.adapters.keys() == {"adapter"}
    assert (begun.model, begun.model_revision) == (finished_one.model, finished_one.model_revision)
    assert begun.lineage[:-1] == LINEAGE
    step = begun.lineage[-1]
    assert (step.kind, step.parent, step.val_after) == (START, program_sha256(program), None)
    assert report.params["start_sha256"] == program_sha256(program)
    assert begun.steps == ()


def test_a_run_starts_from_a_bundle_in_s3(
    program: Path, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    address = f"s3://data/{tmp_path.name}/bundle"
    publish(program, address)
    _prepare(tmp_path, start=address)
    begun = read_program(tmp_path / "vanilla")
    assert begun.predictors == read_program(program).predictors
    assert begun.lineage[-1].config == {"start": address}


def test_the_program_keeps_its_decoding_unless_the_user_sets_another(
    program: Path, tiny_engine: TransformersEngine, tmp_path: Path
) -> None:
    _prepare(tmp_path, tiny_engine, start=str(program), decoding={"calibration": "train", "max_tokens": 7})
    begun = read_program(tmp_path / "vanilla")
    assert begun.decoding["max_tokens"] == 7
    assert begun.predictors["shade"].label_prior is not None
    _prepare(tmp_path, tiny_engine, start=str(tmp_path / "vanilla"), seed=1)
    again = read_program(tmp_path / "vanilla")
    assert again.decoding == begun.decoding
    assert [step.kind for step in again.lineage] == ["p", "w", START, START]


def test_steps_after_a_start_measure_it_and_keep_the_better(
    program: Path, tiny_folder: Path, tiny_engine: TransformersEngine, tmp_path: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TASK, tiny_engine, start=str(program), p={"candidates": 2})
    flow.bootstrap()
    searched = flow.p()
    assert [step.kind for step in searched.lineage] == ["p", "w", START, "p"]
    assert [step.kind for step in searched.steps] == ["p"]
    assert searched.steps[0].val_before is not None
    assert searched.adapters.keys() == {"adapter"}
    kept = flow.select("vanilla", "p")
    assert kept.incumbent == searched.steps[0].val_before
    places = {"vanilla": "vanilla", "p": "p"}
    for folder, arm in places.items():
        report = score(tmp_path / folder, tmp_path / "test.jsonl", flow.config, "score", tmp_path / "s", tiny_engine)
        assert report.params["arm"] == arm


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"task": "iris"}, ProgramError, f"was made for task `{TASK}`, but the run is of `iris`: name that task"),
        ({"model": "smollm2-135m-instruct"}, ModelError, "has revision .*, but the program was made with"),
        ({"start": "nowhere"}, ProgramError, "nowhere is no program directory"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: dict[str, str], error: type[Exception], sentence: str, program: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        _prepare(tmp_path, **{"start": str(program), **settings})
    assert not (tmp_path / "vanilla").exists()


def test_a_program_of_other_fields_is_refused(tiny_model: BaseModel, tmp_path: Path) -> None:
    reference = "tests.core.steps.test_start:other_fields"
    old = finished(tmp_path, toy.task, reference, tiny_model)
    with pytest.raises(ProgramError, match="this program directory was made for another program"):
        _prepare(tmp_path, task=reference, start=str(old))
