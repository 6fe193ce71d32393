"""The parameters of a pipeline as settings.

A Kubeflow parameter cannot be None: an empty text and -1 stand for "the task's default".
"""

from collections.abc import Mapping
from typing import Any

from bt_core.config import merge
from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, parse_json

#: The number that stands for "the task's default".
UNSET = -1


def overrides(
    config: str,
    task: str,
    model: str,
    data: str,
    seed: int,
    data_seed: int = UNSET,
    rows: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The settings that a person chose, without those that are not set.

    Args:
        config: any settings as JSON; empty for none. The other parameters win over it, `data_seed` excepted.
        task, model, data: as in the configuration; empty where not set.
        seed: of the run; -1 where not set.
        data_seed: of the splits, where `config` has none; -1 or the run's own seed where not set.
        rows: how many rows each split gets, by its name; -1 where not set.

    Raises:
        ConfigError: when `config` is no JSON object.
    """
    chosen_rows = _set(rows or {})
    return merge(
        _set({"data_seed": UNSET if data_seed == seed else data_seed}),
        _json_object(config),
        _set({"task": task, "model": model, "data": data, "seed": seed}),
        {"rows": chosen_rows} if chosen_rows else {},
    )


def _set(values: Mapping[str, str | int]) -> dict[str, str | int]:
    return {key: value for key, value in values.items() if value not in ("", UNSET)}


def _json_object(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = parse_json(text)
    except BrokenJson as error:
        raise ConfigError(f"The parameter `config` is broken JSON ({error}): correct it.") from None
    if not isinstance(value, dict):
        raise ConfigError(
            f'The parameter `config` is a JSON {type(value).__name__}: give an object, `{{"key": value}}`.'
        )
    return value
