"""From chat messages to a prompt's tokens, by the model's own chat template.

What a message says is text. A row may hold the words of the model's control tokens (`<|im_end|>`), by mistake or on
purpose; they become the tokens of their letters, so that no text ends its turn or begins another one.
"""

import copy
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from jinja2 import TemplateError
from transformers import AddedToken

from bt_core.engine.base import Message, Tokens
from bt_core.errors import ModelError, first_line, warn
from bt_core.models import BaseModel

#: The date that templates get for today's, since the same program must have the same prompts tomorrow. Llama 3's
#: template falls back to it where it is told none.
TODAY = datetime(2024, 7, 26)
#: The directives of `strftime` that templates use, those of several characters first.
_DIRECTIVES = ("%-d", "%-m", "%-H", "%-I", "%-M", "%-S", *(f"%{letter}" for letter in "aAbBcdfHIjmMpSuUVwWxXyYzZ"))
#: Hides `strftime_now`, which transformers gives to templates, behind a macro that knows `TODAY` alone. The line break
#: behind the block is no output, since transformers' templates trim blocks.
_DATED = "{%- macro strftime_now(format) -%}{{- format FILTERS -}}{%- endmacro %}\n".replace(
    "FILTERS", "".join(f" | replace('{one}', '{TODAY.strftime(one)}')" for one in _DIRECTIVES)
)
#: Divides a control token's word in a message; it is a token of its own, which is then left out.
_BREAK = "\ue000break\ue001"
_SYSTEM, _USER = "The system's text.", "The user's text."


class ChatTemplate:
    """Renders messages to tokens, and other text that a model reads or learns.

    Args:
        model: named in sentences.
        tokenizer: the model's.
        ends: the generation configuration's `eos_token_id`: one, several or none.

    Attributes:
        end: the token that ends an answer.
        ends: this and all other tokens that do.
        pad: the token that pads the shorter rows of a batch; no row attends to it.
        merges_system: whether the template takes no system message, whose text then begins the first user message.

    Raises:
        ModelError: when the tokenizer has no chat template or no end token, or the template refuses even one message
            of a user.
    """

    def __init__(self, model: BaseModel, tokenizer: Any, ends: int | Sequence[int] | None) -> None:
        self._model, self._tokenizer = model.id, tokenizer
        others = [ends] if isinstance(ends, int) else list(ends or [])
        self.end = _end(model, tokenizer, others)
        self.ends = frozenset([*others, self.end])
        self.pad: int = self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._options = _dated(model, tokenizer)
        self.merges_system = False
        self.merges_system = not self._takes_system()
        words = self._control_words()
        either = "|".join(map(re.escape, words)) or "(?!)"
        self._find_control = re.compile(either).search
        self._control_starts = re.compile(f"(?=(?:{either}))(.)", re.DOTALL)
        self._first_characters = sorted({word[0] for word in words})
        if self.merges_system:
            _say_merged(model.id)

    def render(self, messages: Sequence[Message]) -> Tokens:
        """The prompt's tokens, up to the point where the assistant's answer begins.

        Raises:
            ModelError: when the template refuses the messages.
        """
        if self._is_plain("\n".join([message.content for message in messages])):
            return tuple(self._tokenizer.encode(self._text(messages), add_special_tokens=False))
        broken = [Message(message.role, self._broken(message.content)) for message in messages]
        return tuple(self._unbroken_tokens(self._text(broken)))

    def spell(self, text: str) -> list[int]:
        """The tokens of a text as an answer: no control token is among them."""
        if self._is_plain(text):
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
            return tokens
        return self._unbroken_tokens(self._broken(text))

    def _text(self, messages: Sequence[Message]) -> str:
        try:
            return self._applied(_merged(messages) if self.merges_system else messages)
        except TemplateError as error:
            raise ModelError(
                f"The chat template of {self._model} refuses a prompt whose roles are"
                f" {', '.join(message.role for message in messages)} ({first_line(error)}): choose another model."
            ) from None

    def _applied(self, messages: Sequence[Message]) -> str:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        text: str = self._tokenizer.apply_chat_template(
            plain, tokenize=False, add_generation_prompt=True, **self._options
        )
        return text

    def _takes_system(self) -> bool:
        """Whether the template renders a system message; some refuse it, others leave it out without a word."""
        try:
            return _SYSTEM in self._applied([Message("system", _SYSTEM), Message("user", _USER)])
        except TemplateError:
            return False

    def _control_words(self) -> list[str]:
        """The words of the special tokens, and of other added tokens that the template itself writes."""
        added = self._tokenizer.added_tokens_decoder
        structure = self._tokenizer.encode(self._text([Message("user", _USER)]), add_special_tokens=False)
        words = {token.content for number, token in added.items() if token.special or number in structure}
        return sorted(word for word in words if len(word) > 1)

    def _is_plain(self, text: str) -> bool:
        return not any(map(text.__contains__, self._first_characters)) or not self._find_control(text)

    def _broken(self, text: str) -> str:
        """The text with a break behind the first character of every control token's word."""
        return self._control_starts.sub(rf"\1{_BREAK}", text)

    def _unbroken_tokens(self, text: str) -> list[int]:
        tokenizer, break_token = self._breaking
        return [token for token in tokenizer.encode(text, add_special_tokens=False) if token != break_token]

    @cached_property
    def _breaking(self) -> tuple[Any, int]:
        """A copy of the tokenizer to which the break is a token, with that token."""
        tokenizer = copy.deepcopy(self._tokenizer)
        tokenizer.add_tokens([AddedToken(_BREAK, special=True, normalized=False)], special_tokens=True)
        return tokenizer, tokenizer.convert_tokens_to_ids(_BREAK)


def _merged(messages: Sequence[Message]) -> list[Message]:
    """The messages without a system message: its text begins the first user message."""
    first, rest = messages[:1], list(messages[1:])
    if not first or first[0].role != "system":
        return list(messages)
    if rest and rest[0].role == "user":
        return [Message("user", f"{first[0].content}\n\n{rest[0].content}"), *rest[1:]]
    return [Message("user", first[0].content), *rest]


def _end(model: BaseModel, tokenizer: Any, others: Sequence[int]) -> int:
    """The tokenizer's end token, or the first one of the generation configuration."""
    end = next(iter(others), None) if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end is None:
        raise ModelError(
            f"The tokenizer of {model.id} names no token that ends an answer: set `eos_token` in the model's"
            " tokenizer_config.json, or `eos_token_id` in its generation_config.json."
        )
    return int(end)


def _dated(model: BaseModel, tokenizer: Any) -> dict[str, str]:
    """The template under which today is always `TODAY`; nothing where the template asks for no date."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError:  # there is none, or none of several is the default
        raise ModelError(f"The model {model.id} has no chat template: choose an instruction-tuned model.") from None
    return {"chat_template": _DATED + template} if "strftime_now" in template else {}


@cache
def _say_merged(model: str) -> None:
    warn(f"The chat template of {model} takes no system message: instructions begin the first user message instead.")
