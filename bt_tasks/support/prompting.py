"""Two ways to ask the same question: short prompts for small models, and the paper's prompts."""

from collections.abc import Callable
from typing import Any, Literal

import dspy
from pydantic import Field

from bt_core.config import Section
from bt_core.lm.adapters import LineAdapter

Format = Literal["lines", "chat"]


class Prompting(Section):
    """Which prompts a task uses."""

    prompt: Literal["short", "paper"] = Field(
        "short", description="short lines for a small model, or the paper's fields with reasoning in DSPy's chat format"
    )

    @property
    def is_paper(self) -> bool:
        return self.prompt == "paper"

    @property
    def form(self) -> Format:
        """The format of the prompts."""
        return "chat" if self.is_paper else "lines"

    @property
    def adapter(self) -> Callable[[], Any] | None:
        """The value of `Task.adapter`."""
        return prompt_format(self.form)


def prompt_format(name: Format) -> Callable[[], Any] | None:
    """The value of `Task.adapter` for a format; None means DSPy's chat format."""
    return LineAdapter if name == "lines" else None


def module_of(signature: Any, instructions: str = "", reasoning: bool = False) -> Any:
    """Make a predictor of a signature.

    Args:
        signature: a `dspy.Signature`, or its fields as text such as `question -> answer`.
        instructions: what the LM is told to do; empty: the signature's own instructions, or DSPy's sentence that names
            the fields.
        reasoning: whether the LM reasons before it answers.
    """
    whole = dspy.ensure_signature(signature)
    whole = whole.with_instructions(instructions or whole.instructions)
    return dspy.ChainOfThought(whole) if reasoning else dspy.Predict(whole)
