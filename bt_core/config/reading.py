"""Merge layers of settings into one checked configuration, and read it back in the steps."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bt_core.config.registry import config_model
from bt_core.config.section import validated
from bt_core.config.settings import Config
from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, bounded_bytes, parse_json
from bt_core.yaml_text import BrokenYaml, read_yaml


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; the later layer wins for each key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = dict(value) if isinstance(value, Mapping) else value
    return merged


def resolve_config(*layers: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Merge the layers and check the result.

    Raises:
        ConfigError: with every mistake, each with its key, in one sentence.
    """
    return validated(config_model(), merge(*layers), source, "docs/configuration.md lists every key")


def load_config_file(path: Path, texts: Collection[str] = ()) -> dict[str, Any]:
    """Read a JSON or YAML mapping of settings without checking the settings.

    Args:
        path: the file.
        texts: keys below which a YAML file holds texts alone, so that `no` and `1.0` there mean what is written.

    Raises:
        ConfigError: when the file is missing, cannot be read, or holds no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"The config file {path} does not exist: check the path.")
    try:
        text = bounded_bytes(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"The config file {path} cannot be read ({reason}): correct it, or name another.") from None
    try:
        value = parse_json(text) if path.suffix == ".json" else read_yaml(text, texts)
    except BrokenJson as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise ConfigError(f"{where}: broken JSON ({error.reason}); correct it.") from None
    except BrokenYaml as error:
        raise ConfigError(f"{path}, line {error.line}: {error.words}; correct the line.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path} holds a {type(value).__name__}, not a mapping of settings: write `key: value` lines."
        )
    return value


def read_config(text: str) -> Config:
    """Read a merged configuration as steps receive it (JSON).

    Raises:
        ConfigError: when the text is not a valid configuration.
    """
    try:
        value = parse_json(text)
    except BrokenJson:
        value = None
    if not isinstance(value, dict):
        raise ConfigError("The configuration of a step is not a JSON object: pass a folder that prepare_data wrote.")
    return resolve_config(value)
