"""What a program names outside of itself, compared with what the user named: only the latter is used."""

from collections.abc import Iterable, Mapping
from typing import Any


def unnamed(settings: Mapping[str, Any], chosen: Mapping[str, Any], names: Iterable[str]) -> str:
    """The first setting that names something outside, and that the user did not give; empty where there is none.

    Args:
        settings: the program's settings, with the user's in place of them where the user gave any.
        chosen: the settings that the user gave.
        names: dotted keys of the settings that name something outside, such as an address or a variable.
    """
    return next((key for key in names if (value := _at(settings, key)) and value != _at(chosen, key)), "")


def _at(settings: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings
