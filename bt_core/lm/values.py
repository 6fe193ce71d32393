"""Convert the values of fields between programs, which hold objects, and files, which hold JSON."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import from_json, to_json

#: Types whose values are the same in JSON.
_PLAIN = (str, bool, int, float)


def plain(value: Any) -> Any:
    """A field's value, or a mapping of values, as JSON; a value without a JSON form becomes its text."""
    return from_json(to_json(value, fallback=str, inf_nan_mode="strings", bytes_mode="base64"))


def fields_of(prediction: Any) -> dict[str, Any]:
    """What a program returned, field by field, as JSON; a value that has no fields is named `prediction`."""
    fields = dict(prediction.items()) if hasattr(prediction, "items") else {"prediction": prediction}
    return {str(name): plain(value) for name, value in fields.items()}


def typed(signature: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values as the objects that the signature's fields hold, so that prompts render them as the program does.

    A value that does not fit its field's type stays as it is: DSPy does not enforce the types of inputs either.
    """
    return {name: _restored(signature.fields.get(name), value) for name, value in values.items()}


def _restored(field: Any, value: Any) -> Any:
    if field is None or field.annotation in _PLAIN:
        return value
    try:
        return TypeAdapter(field.annotation).validate_python(value)
    except (ValidationError, PydanticSchemaGenerationError, PydanticUserError):
        return value
