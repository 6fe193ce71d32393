"""Pipeline parameters as settings: which are set, and which win."""

import json

import pytest

from bt_core.errors import ConfigError
from bt_runtime.parameters import UNSET, overrides

NOTHING = {"config": "", "task": "", "model": "", "data": "", "seed": UNSET, "data_seed": UNSET}
NO_ROWS = {"train": UNSET, "val": UNSET, "test": UNSET}


def test_sentinels_choose_nothing() -> None:
    assert overrides(**NOTHING) == overrides(**NOTHING, rows=NO_ROWS) == {}


def test_single_values_win_over_the_config() -> None:
    config = json.dumps({"task": "a", "seed": 1, "rows": {"train": 5, "val": 6}, "w": {"epochs": 2}})
    rows = {"train": 7, "val": UNSET, "test": 9}
    chosen = overrides(**NOTHING | {"task": "b", "seed": 0, "config": config}, rows=rows)
    assert chosen == {"task": "b", "seed": 0, "rows": {"train": 7, "val": 6, "test": 9}, "w": {"epochs": 2}}


def test_texts_are_settings_of_their_own_name() -> None:
    texts = {"task": "a", "model": "b", "data": "c"}
    assert overrides(**NOTHING | texts) == texts


def test_only_the_sentinel_is_left_out() -> None:
    chosen = overrides(**NOTHING | {"seed": -2}, rows={"train": 0, "val": UNSET, "test": -3})
    assert chosen == {"seed": -2, "rows": {"train": 0, "test": -3}}


def test_the_seed_of_the_splits_gives_way_to_the_config() -> None:
    assert overrides(**NOTHING | {"seed": 5, "data_seed": 3}) == {"seed": 5, "data_seed": 3}
    config = '{"data_seed": 8, "seed": 9}'
    assert overrides(**NOTHING | {"seed": 5, "data_seed": 3, "config": config}) == {"seed": 5, "data_seed": 8}


def test_a_seed_of_the_splits_that_is_the_seed_itself_is_left_out() -> None:
    """So that a run and the first seed of a sweep have the same settings, and one entry in Kubeflow's cache."""
    assert overrides(**NOTHING | {"seed": 5, "data_seed": 5}) == {"seed": 5}
    assert overrides(**NOTHING | {"seed": 5, "data_seed": 5, "config": '{"data_seed": 8}'}) == {
        "seed": 5,
        "data_seed": 8,
    }


@pytest.mark.parametrize(("config", "complaint"), [("{", "broken JSON"), ("[1]", "JSON list"), ("7", "JSON int")])
def test_a_config_that_is_no_object_is_refused(config: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"`config` is .*{complaint}"):
        overrides(**NOTHING | {"config": config})
