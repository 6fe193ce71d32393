"""Paths in files that may come from anywhere: they stay inside the folder that the file lies in."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from bt_core.errors import ProgramError

#: Limits of common file systems, in bytes: of a name, and of a whole path with room for the folder in front.
_LONGEST_NAME, _LONGEST_PATH = 255, 1024


def _relative(path: str) -> str:
    names = path.split("/")
    is_plain = path.isprintable() and "\\" not in path and not {"", ".", ".."} & set(names)
    if not is_plain or len(path.encode()) > _LONGEST_PATH or any(len(name.encode()) > _LONGEST_NAME for name in names):
        raise PydanticCustomError("path", "Input should be a relative path inside the folder, without `..`")
    return path


InsidePath = Annotated[str, AfterValidator(_relative)]
"""A relative path with slashes, which names something inside the folder."""


def inside(folder: Path, relative: str) -> Path:
    """The path of something in a folder.

    Raises:
        ProgramError: when a symbolic link in it leads out of the folder, or nowhere.
    """
    path = folder / relative
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        is_inside = False
    if not is_inside:
        raise ProgramError(
            f"{path} is a symbolic link that leads out of {folder}: put a copy of what it stands for into the folder."
        )
    return path
