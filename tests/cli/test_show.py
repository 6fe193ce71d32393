"""`bt show`: what it shows of a program, and what it refuses to show."""

import json
from pathlib import Path

import pytest

from bt_core.program import (
    AdapterRef,
    Field,
    LineageStep,
    PredictorState,
    Program,
    adapter_sha256,
    program_sha256,
    write_program,
)
from tests.adapter_files import adapter_files
from tests.cli.conftest import Bt


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of two predictors with one adapter, as `p -> w` leaves it."""
    peft = adapter_files(tmp_path / "peft")
    adapter = AdapterRef("adapter", adapter_sha256(peft))
    city, country = Field("city", "str"), Field("country", "str", "in English")
    demos = ({"city": "Oslo [NO]", "country": "Norway"}, {"city": "Lima", "country": "Peru", "note": 3})
    state = Program(
        task="continents",
        model="smollm2",
        model_revision="0123456789abcdef",
        predictors={
            "country": PredictorState("Name the [bold] country.", (city,), (country,), demos, adapter=adapter),
            "yes": PredictorState("Is it?", (city,), (country,), label_prior={"True": -0.25, "False": -1.5}),
        },
        lineage=(
            LineageStep("p", "1.p", 0, {}, "a" * 64, 0.25, 0.5, "2 demos"),
            LineageStep("w", "2.w", 0, {}, "b" * 64),
        ),
    )
    write_program(state, tmp_path / "program", {"adapter": peft})
    return tmp_path / "program"


def test_show_is_readable(program: Path, bt: Bt) -> None:
    ended = bt("show", program)
    assert (ended.status, ended.err) == (0, "")
    words = " ".join(ended.out.split())
    for part in (
        "continents",
        "smollm2 (revision 0123456789ab)",
        program_sha256(program),
        "Name the [bold] country.",
        "country: str (in English)",
        "Oslo [NO]",
        "Peru",
        "False -1.50, True -0.25",
        "0.250 -> 0.500",
        "not measured",
        "2 demos",
    ):
        assert part in words, part
    assert words.count("adapter (sha256") == 1


def test_show_json_is_the_program(program: Path, bt: Bt) -> None:
    shown = json.loads(bt("show", program, "--json").out)
    assert shown.pop("sha256") == program_sha256(program)
    assert shown == json.loads((program / "program.json").read_text())


def test_a_vanilla_program_says_that_it_is_one(tmp_path: Path, bt: Bt) -> None:
    write_program(Program("iris", "smollm2", "0", {}), tmp_path / "vanilla")
    assert "No step has changed this program" in bt("show", "vanilla").out


def test_a_folder_without_a_program(bt: Bt) -> None:
    ended = bt("show", "nothing")
    assert ended.status == 2
    assert ended.sentence == "nothing is no program directory (it has no program.json): give one that a run wrote."


def test_an_altered_adapter(program: Path, bt: Bt) -> None:
    (program / "adapter" / "adapter_model.safetensors").write_bytes(b"other weights")
    ended = bt("show", program)
    assert ended.status == 2
    assert ended.sentence.startswith(f"The adapter {program / 'adapter'} has sha256 ")
    assert ended.sentence.endswith("it was altered, use the original.")


def test_a_missing_adapter(program: Path, bt: Bt) -> None:
    (program / "adapter" / "adapter_model.safetensors").unlink()
    ended = bt("show", program)
    assert ended.status == 2
    assert "has no adapter_model.safetensors: the program is incomplete" in ended.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is damaged (broken JSON: Expecting property name"),
        ('{"schema_version": 99}', "has schema version 99, this release reads 1: use the release that wrote it."),
        ('{"schema_version": 1}', "is damaged (`task` is missing, `model` is missing"),
        ("[]", "is damaged (the content is [] and should be an object"),
    ],
    ids=["broken", "other-schema", "incomplete", "list"],
)
def test_a_damaged_program(text: str, sentence: str, program: Path, bt: Bt) -> None:
    (program / "program.json").write_text(text)
    ended = bt("show", program)
    assert ended.status == 2
    assert sentence in ended.sentence
