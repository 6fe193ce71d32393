"""The configuration: precedence, and every mistake named at once."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Config, load_config_file, merge, read_config, resolve_config
from bt_core.errors import ConfigError

TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.integers() | inner, max_size=3),
    max_leaves=6,
)


def test_the_later_layer_wins_for_each_key() -> None:
    config = resolve_config({"task": "iris", "w": {"rank": 4, "epochs": 1}}, {"w": {"epochs": 2}}, {"seed": 7})
    assert (config.task, config.w.rank, config.w.epochs, config.seed) == ("iris", 4, 2, 7)
    assert config.p == Config(task="iris").p


@given(TREES, TREES, TREES)
def test_layers_are_merged_from_the_left(
    first: dict[str, object], second: dict[str, object], third: dict[str, object]
) -> None:
    assert merge(first, second, third) == merge(merge(first, second), third)


def test_a_plain_value_replaces_a_whole_section() -> None:
    assert merge({"w": {"rank": 4}}, {"w": 5}, {"w": {"epochs": 2}}) == {"w": {"epochs": 2}}


@given(TREES)
def test_merging_with_nothing_changes_nothing_and_copies(tree: dict[str, object]) -> None:
    merged = merge({}, tree, {})
    assert merged == tree
    assert merged is not tree


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config({"rows": {"train": 0}, "w": {"rnak": 8}, "seed": "one"})
    sentence = str(caught.value)
    assert sentence.startswith("4 mistakes in the configuration: ")
    assert "`task` is missing" in sentence
    assert "`rows.train` is 0, but input should be greater than or equal to 1" in sentence
    assert "`w.rnak` is no setting" in sentence
    assert "`seed` is 'one', but input should be a valid integer" in sentence
    assert "docs/configuration.md" in sentence


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"seed": 2**32}, "`seed` is 4294967296, but input should be less than 4294967296"),
        ({"seed": "4294967296"}, "`seed` is '4294967296', but input should be less than 4294967296"),
        ({"data_seed": 2**32}, "`data_seed` is 4294967296, but input should be less than 4294967296"),
        ({"seed": True}, "`seed` is True, but input should be a number"),
        ({"data_seed": False}, "`data_seed` is False, but input should be a number"),
        ({"w": {"rank": True}}, "`w.rank` is True, but input should be a number"),
        ({"decoding": {"temperature": True}}, "`decoding.temperature` is True, but input should be a number"),
        ({"w": {"learning_rate": math.inf}}, "`w.learning_rate` is inf, but input should be a finite number"),
        ({"w": {"learning_rate": "inf"}}, "`w.learning_rate` is 'inf', but input should be a finite number"),
        ({"w": {"learning_rate": math.nan}}, "`w.learning_rate` is nan, but input should be a finite number"),
        ({"rows": {"train": 10**16}}, "`rows.train` is 10000000000000000, but input should have at most 15 digits"),
    ],
)
def test_a_number_that_is_none_or_too_large_is_refused(values: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config({"task": "iris"}, values)
    assert str(caught.value).startswith(f"1 mistake in the configuration: {mistake}. ")


def test_the_largest_seed_is_taken() -> None:
    config = resolve_config({"task": "iris", "seed": 2**32 - 1, "data_seed": 2**32 - 1})
    assert (config.seed, config.data_seed) == (2**32 - 1, 2**32 - 1)


def test_a_long_wrong_value_is_cut_in_the_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config({"task": "iris", "seed": "9" * 5000})
    assert len(str(caught.value)) < 500


def test_a_resolved_config_travels_as_json() -> None:
    config = resolve_config({"task": "iris", "decoding": {"stop": ["\n"]}})
    assert read_config(config.model_dump_json()) == config
    with pytest.raises(ConfigError, match="is not a JSON object"):
        read_config("{")


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.json", json.dumps({"task": "iris", "w": {"rank": 8}})), ("c.yaml", "task: iris\nw:\n  rank: 8\n")],
    ids=["json", "yaml"],
)
def test_files_hold_json_or_yaml(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert load_config_file(tmp_path / name) == {"task": "iris", "w": {"rank": 8}}


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing yet\n")
    assert load_config_file(tmp_path / "c.yaml") == {}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("c.json", '{\n"task": }', "line 2: broken JSON"),
        ("c.yaml", "task: iris\nw: [", "broken YAML; correct the line"),
        ("c.yaml", "- task\n", "holds a list, not a mapping"),
        ("c.json", '{"seed": 1, "seed": 2}', "c.json: broken JSON (the key 'seed' is there twice)"),
        ("c.json", '{"w": {"learning_rate": Infinity}}', "c.json: broken JSON (Infinity is no JSON number)"),
        ("c.json", '{"task": "\\ud83d"}', "c.json, line 1: broken JSON (it has half a surrogate pair"),
        ("c.json", '{"w": ' + "[" * 3000, "c.json: broken JSON (it is nested more than 100 levels deep)"),
        ("c.json", '{"seed": ' + "9" * 5000 + "}", "c.json: broken JSON (the number 99999999999999999999... has more"),
        ("c.yaml", "seed: 1\nseed: 2\n", "c.yaml, line 2: broken YAML (the key seed is there twice)"),
        ("c.yaml", "w:\n  learning_rate: .inf\n", "c.yaml, line 2: broken YAML (.inf is no finite number)"),
        ("c.yaml", "task: iris\nseed: 2024-13-45\n", "c.yaml, line 2: broken YAML (2024-13-45 is no timestamp)"),
    ],
    ids=[
        *(
            "json",
            "yaml",
            "list",
            "json-key-twice",
            "json-infinity",
            "half-a-surrogate-pair",
            "json-deep",
            "json-digits",
        ),
        *("yaml-key-twice", "yaml-infinity", "yaml-date"),
    ],
)
def test_a_bad_file_is_named_with_its_line(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config_file(tmp_path / name)
    assert name in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["c.json", "c.yaml"])
def test_a_file_that_is_not_utf_8_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b'{"task": "caf\xe9"}')
    with pytest.raises(ConfigError, match=rf"{name} cannot be read \(it is not UTF-8 text\)"):
        load_config_file(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{", '{"task": "iris", "task": "iris"}', '{"task": "iris", "seed": NaN}', "[" * 3000],
    ids=["empty", "list", "broken", "key-twice", "nan", "deep"],
)
def test_a_step_refuses_what_is_not_a_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="configuration of a step is not a JSON object: pass"):
        read_config(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist: check the path"):
        load_config_file(tmp_path / "none.yaml")


def test_a_broken_json_file_needs_no_yaml_to_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The YAML library is imported only for YAML files."""
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ConfigError, match="broken JSON"):
        load_config_file(tmp_path / "c.json")
