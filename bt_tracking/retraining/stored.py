"""Read strictly what earlier retrainings have left in MLflow, since its tags and files can be changed by hand."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from bt_core.errors import TrackingError
from bt_core.formats.document import tell_mistakes
from bt_core.json_text import BrokenJson, parse_json

T = TypeVar("T")


def stored(kind: type[T], text: str | bytes, what: str) -> T:
    """The value of a JSON text that a retraining has written.

    Args:
        kind: its type: a dataclass, or a type such as `dict[str, str]`.
        text: the text.
        what: names it and its place, for the error message.

    Raises:
        TrackingError: when it is not such a value.
    """
    try:
        parse_json(text)
        return TypeAdapter(kind).validate_json(text, strict=True)
    except BrokenJson as error:
        reason = str(error)
    except ValidationError as error:
        reason = tell_mistakes(error.errors())
    raise TrackingError(f"{what} is not what a retraining has written ({reason}): correct it in MLflow, or delete it.")
