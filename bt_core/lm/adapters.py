"""A prompt format for small models: plain lines instead of DSPy's marked sections.

The user's message has a line `Field: value` for each input; the answer is the value alone where a signature has one
output field. A model of a few hundred million parameters follows this format after one or two demos, and the prompt is
several times shorter than that of `dspy.ChatAdapter`.
"""

import textwrap
from typing import Any

import dspy
from dspy.adapters.utils import format_field_value, parse_value
from dspy.utils.exceptions import AdapterParseError


class LineAdapter(dspy.Adapter):
    """A `dspy.Adapter` that writes the instructions, then a line for each field. Values keep their line breaks."""

    def format_system_message(self, signature: Any) -> str:
        return textwrap.dedent(signature.instructions).strip()

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

        Raises:
            dspy.utils.exceptions.AdapterParseError: when a field is missing or does not have its type.
        """
        names = list(signature.output_fields)
        texts = {names[0]: completion.strip()} if len(names) == 1 else _sections(names, completion)
        try:
            return {name: parse_value(texts[name], signature.output_fields[name].annotation) for name in names}
        except (KeyError, ValueError) as error:
            raise AdapterParseError(
                adapter_name=type(self).__name__, signature=signature, lm_response=completion, message=str(error)
            ) from error


def _text(field: Any, value: Any) -> str:
    # DSPy also leaves text as it is, but first makes a pydantic adapter, for every value of every demo of every call.
    return value if type(value) is str else str(format_field_value(field, value))


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


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
