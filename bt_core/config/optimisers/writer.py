"""Settings of the step kinds that let an LM write instructions."""

from typing import Literal

from pydantic import Field

from bt_core.config.section import Section


class WriterConfig(Section):
    """The LM that writes instructions for `g` and `m`."""

    writer: Literal["base", "teacher"] = Field(
        "base", description="who writes instructions: the program's base model, or `teacher.model`"
    )
    temperature: float = Field(1.0, ge=0.0, le=2.0, description="temperature of the LM that writes instructions")
    max_tokens: int = Field(256, ge=1, description="tokens that a written instruction may have")
