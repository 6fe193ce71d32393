"""The fields that a declared task's signature names, `text, gist -> intent: str`."""

from collections.abc import Mapping
from typing import Any

from bt_core.errors import TaskError

#: What a field's type may be.
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list[str]}
Fields = Mapping[str, Any]
"""Type by name, in the order of the signature."""


def sides(signature: str, task: str) -> tuple[Fields, Fields]:
    """Input and output fields.

    Raises:
        TaskError: when the signature cannot be read; `task` is named in the sentence.
    """
    left, arrow, right = signature.partition("->")
    if not arrow:
        raise TaskError(f"The signature {signature!r} of task `{task}` has no `->`: write `text -> label`.")
    return _fields(left, signature, task), _fields(right, signature, task)


def _fields(text: str, signature: str, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in text.split(","):
        name, _, kind = (piece.strip() for piece in field.partition(":"))
        if not name.isidentifier() or (kind or "str") not in TYPES:
            raise TaskError(
                f"The signature {signature!r} of task `{task}` cannot be read at {field.strip()!r}: write names"
                f" separated by commas, each perhaps with a type ({', '.join(TYPES)})."
            )
        found[name] = TYPES[kind or "str"]
    return found
