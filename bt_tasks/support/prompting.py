"""Two ways to ask the same question: short prompts for small models, and the paper's."""

from collections.abc import Callable
from typing import Any, Literal

import dspy
from pydantic import Field

from bt_core.config import Section
from bt_core.lm.adapters import LineAdapter

Format = Literal["lines", "chat"]


class Prompting(Section):
    """How a task asks."""

    prompt: Literal["short", "paper"] = Field(
        "short", description="short lines for a small model, or the paper's fields with reasoning in DSPy's chat format"
    )

    @property
    def is_paper(self) -> bool:
        return self.prompt == "paper"

    @property
    def form(self) -> Format:
        """How prompts are laid out."""
        return "chat" if self.is_paper else "lines"

    @property
    def adapter(self) -> Callable[[], Any] | None:
        """For `Task.adapter`."""
        return prompt_format(self.form)


def prompt_format(name: Format) -> Callable[[], Any] | None:
    """For `Task.adapter`: None is DSPy's chat format."""
    return LineAdapter if name == "lines" else None


def module_of(signature: Any, instructions: str = "", reasoning: bool = False, form: Format = "chat") -> Any:
    """A predictor of a signature, which may be text such as `question -> answer`.

    Args:
        signature: its fields.
        instructions: empty: the signature's own, or DSPy's sentence that names the fields.
        reasoning: whether the LM is to reason before it answers.
        form: with `lines`, whose format does not say so itself, the instructions tell how to write several answers.
    """
    whole = dspy.ensure_signature(signature)
    text = instructions or whole.instructions
    answers = [*(["reasoning"] if reasoning else []), *whole.output_fields]
    if form == "lines" and len(answers) > 1:
        text = "\n".join([text, "Reply in this form:", *(f"{line_label(name)}: ..." for name in answers)])
    whole = whole.with_instructions(text)
    return dspy.ChainOfThought(whole) if reasoning else dspy.Predict(whole)


def line_label(name: str) -> str:
    """What stands in front of a field's line."""
    return name.replace("_", " ").capitalize()
