"""Convert the values of fields between programs, which hold objects, and files, which hold JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from dspy.adapters.utils import format_field_value
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


def as_rendered(signature: Any, values: Mapping[str, Any], render: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The values of fields as JSON from which a prompt is rendered as from the values themselves.

    Most values come back from JSON as they were (`typed`). One that does not, such as a date in a field without a type,
    becomes the text that the prompt had.

    Args:
        signature: has the fields; values of other names are left out.
        values: field -> value.
        render: makes the messages from field -> value.
    """
    fields = signature.fields
    values = {name: value for name, value in values.items() if name in fields}
    kept = {name: plain(value) for name, value in values.items()}
    doubtful = [name for name, value in values.items() if not _is_plain(fields[name], value)]
    if not doubtful:
        return kept
    rendered = render(dict(values))
    for name in doubtful:
        for form in (kept[name], str(format_field_value(fields[name], values[name]))):
            if render(values | typed(signature, {name: form})) == rendered:
                kept[name] = form
                break
    return kept


def _is_plain(field: Any, value: Any) -> bool:
    return type(value) in (str, bool, int) and field.annotation in _PLAIN


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
