"""What a finished program names outside of itself, such as an address, compared with what the user named."""

from collections.abc import Iterable, Mapping
from typing import Any


def given(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The settings at these dotted keys that are there, each by its key."""
    found = {key: _at(settings, key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def named(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The settings at these dotted keys that are not empty, each by its key."""
    return {key: value for key, value in given(settings, keys).items() if value}


def unnamed(settings: Mapping[str, Any], chosen: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The settings at these dotted keys to which the user gave no value, or another one.

    Args:
        settings: the settings that are to be used.
        chosen: the settings that the user gave.
        keys: those of the settings that name something outside of the program.
    """
    return {key: value for key, value in named(settings, keys).items() if value != _at(chosen, key)}


def nested(key: str, value: Any) -> dict[str, Any]:
    """The value as the settings that a dotted key stands for."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _at(settings: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings
