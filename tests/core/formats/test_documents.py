"""result.json and sweep.json are read by the models that write them, and what is wrong with a file is one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import DataError
from bt_core.formats.document import Document
from bt_core.formats.run_result import RunResult
from bt_core.formats.sweep import Sweep
from tests.report.sweeps import NINE, as_sweep, ordinary

CONTENT = ordinary({"p": 0.6, "p -> w": 0.8}, seeds=(2, 10))


def test_a_sweep_that_is_read_and_written_again_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "sweep.json"
    as_sweep(CONTENT).write(path)
    sweep = Sweep.read(path)
    assert sweep.text() == path.read_text(encoding="utf-8") == as_sweep(CONTENT).text()
    assert json.loads(sweep.text()) == json.loads(json.dumps(CONTENT)) == sweep.content()
    assert sweep.arms[0].by_seed.keys() == {2, 10}


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "{",
            "sweep.json cannot be read (broken JSON: Expecting property name enclosed in double quotes at",
        ),
        ("[]", "sweep.json: the content is [] and should be an object; name a sweep.json that `bt sweep` wrote."),
        ({**CONTENT, "schema": 1}, "sweep.json has schema 1, which this version cannot read: make it again with this"),
        ({"schema": None}, "sweep.json has schema None, which this version cannot read"),
        ({"schema": "x" * 999}, "sweep.json has schema 'xxxxxxxxxxxx...xxxxxxxxxxxxx', which this version cannot read"),
        (_without(CONTENT, "rows"), "sweep.json: `rows` is missing; name a sweep.json that `bt sweep` wrote."),
        ({**CONTENT, "colour": 1}, "sweep.json: `colour` is unknown; name"),
        (
            {**CONTENT, "rows": {"train": 50, "val": "many", "test": True, "all": 4}},
            "sweep.json: `rows.val` is 'many' and should be a valid integer, `rows.test` is True and should be a valid"
            " integer, `rows.all` is unknown; name",
        ),
        (
            {**CONTENT, "vanilla": {**CONTENT["vanilla"], "by_seed": {"one": 0.5}}},
            "sweep.json: `vanilla.by_seed.one` is 'one' and should be a valid integer",
        ),
        ({"schema": 2}, "sweep.json: `task` is missing, `description` is missing, `metric` is missing, `model` is"),
    ],
    ids=["broken", "list", "schema", "no-schema", "long-schema", "missing", "unknown", "types", "keys", "many"],
)
def test_what_is_no_sweep_is_refused_in_a_sentence(content: Any, sentence: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(DataError) as refused:
        Sweep.parse(text, "sweep.json")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("arms.0.mean", 7.0, "is 7.0 and should be less than or equal to 1"),
        ("arms.0.by_seed.2", -0.5, "is -0.5 and should be greater than or equal to 0"),
        ("arms.0.cost.lm_calls", -1, "is -1 and should be greater than or equal to 0"),
        ("arms.0.versus_vanilla.p_value", 2.0, "is 2.0 and should be less than or equal to 1"),
        ("arms.0.versus_vanilla.mean", -3.0, "is -3.0 and should be greater than or equal to -1"),
        ("nodes.0.usage.calls", -1, "is -1 and should be greater than or equal to 0"),
        ("nodes.0.validation", 1.5, "is 1.5 and should be less than or equal to 1"),
        ("winner.lineage.0.val_after", 7.0, "is 7.0 and should be less than or equal to 1"),
        ("changed.gained_count", -1, "is -1 and should be greater than or equal to 0"),
        ("rows.test", 10**16, "is 10000000000000000 and should be less than or equal to 9007199254740992"),
        ("seeds.0", -1, "is -1 and should be greater than or equal to 0"),
        ("alpha", 2.0, "is 2.0 and should be less than or equal to 1"),
    ],
)
def test_a_number_out_of_its_range_is_refused_at_every_depth(key: str, value: object, reason: str) -> None:
    content = json.loads(json.dumps(CONTENT))
    *parents, last = (int(name) if name == "0" else name for name in key.split("."))
    place = content
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(DataError) as refused:
        Sweep.parse(json.dumps(content), "sweep.json")
    assert str(refused.value) == f"sweep.json: `{key}` {reason}; name a sweep.json that `bt sweep` wrote."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"schema": 2, "config": %s}' % ("[" * 3000 + "]" * 3000), "it is nested more than 100 levels deep"),
        ('{"schema": 2, "config": {"a": %s}}' % ("9" * 5000), "the number 99999999999999999999... has more than 300"),
        ('{"schema": 2, "schema": 2}', "the key 'schema' is there twice"),
        ('{"schema": 2, "task": "\\ud83d"}', "it has half a surrogate pair"),
    ],
    ids=["deep", "digits", "key-twice", "half-a-surrogate-pair"],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "name"), [(Sweep, "sweep.json"), (RunResult, "result.json")])
def test_a_hostile_text_is_refused_in_a_sentence(kind: type[Document], name: str, text: str, reason: str) -> None:
    with pytest.raises(DataError) as refused:
        kind.parse(text, name)
    assert str(refused.value).startswith(f"{name} cannot be read (broken JSON: {reason}")


def test_of_many_mistakes_the_first_ones_are_named() -> None:
    with pytest.raises(DataError, match=r"and 15 more; name a sweep\.json that `bt sweep` wrote\.$"):
        Sweep.parse('{"schema": 2}', "sweep.json")


def test_a_number_that_is_none_is_refused() -> None:
    text = json.dumps({**CONTENT, "margin": 0.0625}).replace("0.0625", "NaN")
    with pytest.raises(DataError, match="broken JSON: NaN is no JSON number"):
        Sweep.parse(text, "sweep.json")


@pytest.mark.parametrize(
    ("kind", "command"), [(Sweep, "a sweep.json that `bt sweep`"), (RunResult, "a result.json that `bt run`")]
)
def test_a_file_that_is_not_there_is_named(kind: type[Document], command: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        kind.read(tmp_path / "gone.json")
    assert str(refused.value) == (
        f"{tmp_path / 'gone.json'} cannot be read (No such file or directory): name {command} wrote."
    )


def test_every_key_has_a_meaning_for_the_docs() -> None:
    sweep = as_sweep(ordinary(NINE))
    for kind in {type(part) for part in (sweep, sweep.rows, sweep.arms[0], sweep.nodes[0], sweep.changed)}:
        assert all(field.description for field in kind.model_fields.values())
