"""The program directory: it is written whole or not at all, and altered directories are refused."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import ProgramError
from bt_core.program import (
    AdapterRef,
    Field,
    LineageStep,
    PredictorState,
    Program,
    adapter_sha256,
    is_same_program,
    program_sha256,
    read_program,
    write_program,
)
from tests.adapter_files import adapter_files

Change = Callable[[dict[str, Any]], Any]
STATE = PredictorState(
    "Do it — well.", (Field("a", "str"),), (Field("b", "bool"),), ({"a": "é", "b": True},), {"True": -0.5}
)
STEP = LineageStep("p", "1.p", 3, {"candidates": 2}, "0" * 64, 0.25, 0.5)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return adapter_files(tmp_path / "peft")


@pytest.fixture
def written(tmp_path: Path, adapter: Path) -> Path:
    ref = AdapterRef("adapter", adapter_sha256(adapter))
    program = Program("t", "m", "r", {"x": replace(STATE, adapter=ref)}, {"closed": "scored"}, (STEP,))
    write_program(program, tmp_path / "program", {"adapter": adapter})
    return tmp_path / "program"


def test_what_is_read_is_what_was_written(written: Path, adapter: Path) -> None:
    program = read_program(written)
    assert program.predictors["x"].demos == ({"a": "é", "b": True},)
    assert program.lineage == (STEP,)
    write_program(program, written.with_name("again"), {"adapter": written / "adapter"})
    assert program_sha256(written.with_name("again")) == program_sha256(written)


def test_a_program_is_the_same_whatever_steps_led_to_it(written: Path, adapter: Path) -> None:
    program, other = read_program(written), written.with_name("other")
    write_program(replace(program, lineage=()), other, {"adapter": adapter})
    assert program_sha256(other) != program_sha256(written)
    assert is_same_program(written, other)


@pytest.mark.parametrize("changed", ["demos", "instructions", "label_prior", "decoding", "adapter"])
def test_a_program_with_other_answers_is_another_one(changed: str, written: Path, adapter: Path) -> None:
    program, other = read_program(written), written.with_name("other")
    values = {"demos": (), "instructions": "Do it.", "label_prior": {"True": -0.25}}
    if changed == "adapter":
        (adapter / "adapter_model.safetensors").write_bytes(b"other weights")
        values["adapter"] = AdapterRef("adapter", adapter_sha256(adapter))
    state = replace(program.predictors["x"], **{changed: values[changed]}) if changed in values else None
    decoding = {"closed": "greedy"} if changed == "decoding" else program.decoding
    predictors = {"x": state or program.predictors["x"]}
    write_program(replace(program, predictors=predictors, decoding=decoding), other, {"adapter": adapter})
    assert not is_same_program(written, other)


def test_an_altered_adapter_is_refused(written: Path) -> None:
    (written / "adapter" / "adapter_model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(ProgramError, match="it was altered, use the original"):
        read_program(written)


def test_a_missing_adapter_file_is_named(written: Path) -> None:
    (written / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(ProgramError, match=r"has no adapter_config\.json"):
        read_program(written)


def _predictor(**values: object) -> Change:
    """Change keys of the predictor `x`."""
    return lambda content: content | {"predictors": {"x": content["predictors"]["x"] | values}}


def _step(**values: object) -> Change:
    """Change keys of the first lineage step."""
    return lambda content: content | {"lineage": [content["lineage"][0] | values]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda value: value | {"schema_version": 99}, "has schema version 99, this release reads 1"),
        (lambda value: {key: value[key] for key in value if key != "predictors"}, "is damaged"),
        (lambda value: value | {"extra": 1}, "is damaged"),
        (lambda value: [value], "is damaged"),
        (_predictor(instructions=5), r"is damaged \(`predictors\.x\.instructions` is 5 and should be a valid string"),
        (_predictor(demos="abc"), r"is damaged \(`predictors\.x\.demos` is 'abc' and should be"),
        (_predictor(demos=["abc"]), r"is damaged \(`predictors\.x\.demos\.0` is 'abc' and should be"),
        (_predictor(inputs=[{"name": "a"}]), r"is damaged \(`predictors\.x\.inputs\.0\.type` is missing"),
        (_predictor(label_prior={"True": True}), r"is damaged \(`predictors\.x\.label_prior\.True` is True and"),
        (_predictor(label_prior={"True": math.nan}), r"is damaged \(broken JSON: NaN is no JSON number"),
        (_step(seed=True), r"is damaged \(`lineage\.0\.seed` is True and should be a valid integer"),
        (_step(seed=-1), r"is damaged \(`lineage\.0\.seed` is -1 and"),
        (_step(val_after=7.0), r"is damaged \(`lineage\.0\.val_after` is 7\.0 and should be less than or equal to 1"),
        (_step(config=[]), r"is damaged \(`lineage\.0\.config` is \[\] and should be"),
    ],
    ids=[
        *("version", "lacking", "unknown", "list", "instructions", "demos", "demo", "half-a-field", "prior", "nan"),
        *("true-seed", "negative-seed", "score", "step-settings"),
    ],
)
def test_a_damaged_program_is_refused(change: Change, sentence: str, written: Path) -> None:
    path = written / "program.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ProgramError, match=sentence):
        read_program(written)


def test_a_key_that_is_there_twice_is_refused(written: Path) -> None:
    path = written / "program.json"
    path.write_text(path.read_text().replace('"task": "t"', '"task": "t", "task": "other"'))
    with pytest.raises(ProgramError, match=r"is damaged \(broken JSON: the key 'task' is there twice\)"):
        read_program(written)


def test_a_program_that_is_not_utf_8_is_refused(written: Path) -> None:
    (written / "program.json").write_bytes(b'{"task": "caf\xe9"}')
    with pytest.raises(ProgramError, match="is damaged"):
        read_program(written)


def test_a_folder_without_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="is no program directory"):
        read_program(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(written: Path) -> None:
    before = program_sha256(written)
    broken = replace(read_program(written), predictors={"x": replace(STATE, adapter=AdapterRef("other", "0"))})
    with pytest.raises(KeyError):
        write_program(broken, written, {})
    assert program_sha256(written) == before
