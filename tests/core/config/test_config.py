"""The configuration: precedence, and every mistake named at once."""

import json
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
    ],
    ids=["json", "yaml", "list"],
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


@pytest.mark.parametrize("text", ["", "[1]", "{"])
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
