"""The names of splits: those that we use, and those that data sets give to the split that chooses."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from bt_core.data.notes import note
from bt_core.errors import DataError
from bt_core.records import Row

SPLITS = ("train", "val", "test")
#: Other names of the split that chooses between candidates.
VAL_NAMES = ("validation", "valid", "dev")
Source = Sequence[Row] | Mapping[str, Sequence[Row]]
"""Rows, or rows by split."""

Part = TypeVar("Part")


def split_called(name: str) -> str:
    """The split that a name stands for, in any case; empty where it stands for none."""
    lower = name.lower()
    return "val" if lower in VAL_NAMES else lower if lower in SPLITS else ""


def by_split(parts: Mapping[str, Part], source: str) -> dict[str, Part]:
    """The parts under the names of our splits. Parts of other names are not used, which a note says.

    Raises:
        DataError: when two parts are the same split.
    """
    found: dict[str, str] = {}
    for name in parts:
        split = split_called(name)
        if split in found:
            raise DataError(f"{source} has `{found[split]}` and `{name}`, which are both the split {split}: drop one.")
        if split:
            found[split] = name
    unused = [str(name) for name in parts if name not in found.values()]
    if found and unused:
        note(f"{source} has parts that are not used: {', '.join(unused)}.")
    return {split: parts[name] for split, name in found.items()}
