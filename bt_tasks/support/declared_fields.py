"""The fields in the signature of a declared task, such as `text, gist -> intent: str`."""

from collections.abc import Mapping
from typing import Any

from bt_core.errors import TaskError

#: The types that a field may have, by name.
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list[str]}
Fields = Mapping[str, Any]
"""Name of a field -> its type, in the order of the signature."""


def sides(signature: str, task: str) -> tuple[Fields, Fields]:
    """The input fields and the output fields of a signature.

    Args:
        signature: the text.
        task: the task's name, for the error.

    Raises:
        TaskError: when the signature cannot be read.
    """
    left, arrow, right = signature.partition("->")
    if not arrow:
        raise TaskError(f"The signature {signature!r} of task `{task}` has no `->`: write `text -> label`.")
    return _fields(left, signature, task), _fields(right, signature, task)


def _fields(text: str, signature: str, task: str) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for field in text.split(","):
        name, _, kind = (piece.strip() for piece in field.partition(":"))
        if not name.isidentifier() or (kind or "str") not in TYPES:
            raise TaskError(
                f"The signature {signature!r} of task `{task}` cannot be read at {field.strip()!r}: write names"
                f" separated by commas, each perhaps with a type ({', '.join(TYPES)})."
            )
        types[name] = TYPES[kind or "str"]
    return types
