"""A prompt format for small models: plain lines instead of DSPy's marked sections.

The user's message has a line `Field: value` for each input; the answer is the value alone where a signature has one
output field. Several are answered by a line each, and the system message ends with that form. A model of a few hundred
million parameters follows this format after one or two demos, and the prompt is several times shorter than that of
`dspy.ChatAdapter`.
"""

import re
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import dspy
from dspy.adapters.utils import format_field_value, parse_value
from dspy.utils.exceptions import AdapterParseError

#: Characters of the longest list of options that the form of an answer has.
LONGEST_OPTIONS = 300
#: A number by itself: digits in groups of thousands or plain, a fraction, no letter and no % right behind it. `3,5`,
#: `1.2.3` and `45%` are none, since they may be meant in several ways.
_NUMBER = re.compile(r"(?<![\w.,])([-−+]?)[$€£]?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?(?![\w%])(?![.,][0-9])")
#: What stands around a value without belonging to it.
_AROUND = " \t\n*`\"'."


class LineAdapter(dspy.Adapter):
    """A `dspy.Adapter` that writes the instructions, then a line for each field. Values keep their line breaks."""

    def format_system_message(self, signature: Any) -> str:
        text = textwrap.dedent(signature.instructions).strip()
        outputs = signature.output_fields
        if len(outputs) == 1 or all(f"{_label(name)}:" in text for name in outputs):  # the task's own words say it
            return text
        form = [f"{_label(name)}: {_form(field.annotation)}" for name, field in outputs.items()]
        return "\n".join([text, "Reply in this form:", *form])

    def format_user_message_content(
        self, signature: Any, inputs: dict[str, Any], prefix: str = "", suffix: str = "", main_request: bool = False
    ) -> str:
        lines = [
            f"{_label(name)}: {_text(field, inputs[name])}"
            for name, field in signature.input_fields.items()
            if name in inputs
        ]
        return "\n".join(part for part in (prefix, *lines, suffix) if part)

    def format_assistant_message_content(
        self, signature: Any, outputs: dict[str, Any], missing_field_message: str | None = None
    ) -> str:
        values = {
            name: _text(field, outputs[name]) if name in outputs else missing_field_message or ""
            for name, field in signature.output_fields.items()
        }
        if len(values) == 1:
            return str(next(iter(values.values())))
        return "\n".join(f"{_label(name)}: {value}" for name, value in values.items())

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read the output fields from a completion.

        A value of a type is also read where its own label, quotation marks or a full stop stand around it, and a number
        where it is the only one in the text: `Answer: 42.`, `about 1,234 people`.

        Raises:
            dspy.utils.exceptions.AdapterParseError: when a field is missing or does not have its type.
        """
        names = list(signature.output_fields)
        texts = {names[0]: completion.strip()} if len(names) == 1 else _sections(names, completion)
        try:
            return {name: _value(texts, name, field.annotation) for name, field in signature.output_fields.items()}
        except ValueError as error:
            raise AdapterParseError(
                adapter_name=type(self).__name__, signature=signature, lm_response=completion, message=str(error)
            ) from error


def _text(field: Any, value: Any) -> str:
    # DSPy also leaves text as it is, but first makes a pydantic adapter, for every value of every demo of every call.
    return value if type(value) is str else str(format_field_value(field, value))


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _form(annotation: Any) -> str:
    """What stands behind the label of an output in the form of an answer."""
    if annotation is bool:
        return "True or False"
    if annotation in (int, float):
        return "a whole number" if annotation is int else "a number"
    if get_origin(annotation) is Literal:
        *first, last = map(str, get_args(annotation))
        options = f"{', '.join(first)} or {last}" if first else last
        return options if len(options) <= LONGEST_OPTIONS else "..."
    return "JSON" if annotation in (list, dict) or get_origin(annotation) in (list, dict) else "..."


def _value(texts: Mapping[str, str], name: str, annotation: Any) -> Any:
    """The value of a field in the texts of all fields.

    Raises:
        ValueError: when there is no text for it, or its text is no value of the type.
    """
    label = f"{_label(name)}:"
    if name not in texts:
        raise ValueError(f"the answer has no line `{label}`")
    text = texts[name]
    inner = text[len(label) :] if text.lower().startswith(label.lower()) else text
    inner = _number(inner) if _is_number(annotation) else inner.strip(_AROUND)
    for tried in (text, inner):
        with suppress(ValueError):
            return parse_value(tried, annotation)
    raise ValueError(f"`{name}` holds {text[:60]!r}, which is no {getattr(annotation, '__name__', annotation)}")


def _is_number(annotation: Any) -> bool:
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return int in kinds or float in kinds


def _number(text: str) -> str:
    """The only number in a text, as Python writes it; empty where there is none or several."""
    numbers = {
        ("-" if sign in ("-", "−") else "") + whole.replace(",", "") + fraction
        for sign, whole, fraction in _NUMBER.findall(text)
    }
    return numbers.pop() if len(numbers) == 1 else ""


def _sections(names: list[str], completion: str) -> dict[str, str]:
    starts = {f"{_label(name).lower()}:": name for name in names}
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in completion.strip().splitlines():
        start = next((s for s in starts if line.lower().startswith(s) and starts[s] not in sections), None)
        if start is not None:
            current = sections[starts[start]] = []
            line = line[len(start) :]
        current.append(line.strip())
    return {name: "\n".join(lines).strip() for name, lines in sections.items()}
