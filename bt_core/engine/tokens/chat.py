"""From chat messages to the tokens of a prompt, by the model's own template, whatever the messages hold.

Text that spells a control token, such as `<|im_end|>` in a row, would close its turn and could speak as the assistant.
The contents of messages are therefore tokenised as text alone; only the template's own control tokens are tokens.
(transformers 5.17 has `sanitize_control_tokens` for that, but vLLM 0.32 needs an older release.)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bt_core.engine.base import Message, Tokens
from bt_core.errors import ModelError, ProgramError, first_line, warn

#: What a template that prints today's date prints instead, so that a prompt is the same tomorrow: the date that the
#: template of Llama 3.2 has where it gets none.
DATE = datetime(2024, 7, 26)
#: The parts of a date for which templates ask `strftime_now`.
_DATE_PARTS = ("%d", "%b", "%B", "%Y", "%m", "%y", "%A", "%a", "%H", "%M", "%S", "%j")
#: Characters for private use, of which one that no message has marks the places of control words.
_MARKS = "\ue000\uf8ff\U000f0000\U0010fffd"
_PROBE = "system probe"


@dataclass(frozen=True)
class Chat:
    """A tokenizer with its chat template.

    Attributes:
        tokenizer: the model's.
        controls: finds the words that the tokenizer takes for control tokens; None: it has none.
        folds: whether the template has no place for a system message, which then goes into the first user message.
    """

    tokenizer: Any
    controls: re.Pattern[str] | None
    folds: bool

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> "Chat":
        """Try the template of the model with this name.

        Raises:
            ModelError: when there is none, or it takes no user message.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(f"The model {name} has no chat template: choose an instruction-tuned model.")
        words = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        longest_first = sorted(filter(None, words), key=lambda word: (-len(word), word))
        controls = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        folds = not _shows(tokenizer, [Message("system", _PROBE), Message("user", "a")])
        chat = cls(tokenizer, controls, folds)
        if folds:
            try:
                chat.render([Message("user", "a")])
            except ProgramError as error:
                raise ModelError(f"The model {name} cannot be asked: {error}") from None
            warn(f"The chat template of {name} has no system messages: they go into the first user message.")
        return chat

    def render(self, messages: Sequence[Message]) -> Tokens:
        """The prompt's tokens, up to the point where the assistant's answer begins.

        Raises:
            ProgramError: when the template refuses the messages.
        """
        plain = [{"role": message.role, "content": message.content} for message in messages]
        plain = _folded(plain) if self.folds else plain
        contents = "\n".join(message["content"] for message in plain)
        if self.controls is None or not self.controls.search(contents):
            return tuple(self._tokens(self._text(plain)))
        return self._guarded(plain, contents)

    def text_tokens(self, text: str) -> list[int]:
        """The tokens of a text that is no prompt, such as an answer; none of them is a control token."""
        is_guarded = self.controls is not None and self.controls.search(text) is not None
        return self._tokens(text, split_special_tokens=True) if is_guarded else self._tokens(text)

    def _guarded(self, plain: list[dict[str, str]], contents: str) -> Tokens:
        assert self.controls is not None
        mark = next(mark for mark in _MARKS if mark not in contents)
        words: list[str] = []

        def hide(match: re.Match[str]) -> str:
            words.append(match[0])
            return f"{mark}{len(words) - 1}{mark}"

        hidden = [message | {"content": self.controls.sub(hide, message["content"])} for message in plain]
        tokens: list[int] = []
        for number, part in enumerate(re.split(f"{mark}([0-9]+){mark}", self._text(hidden))):
            if number % 2:
                tokens += self.text_tokens(words[int(part)])
            elif part:
                tokens += self._tokens(part)
        return tuple(tokens)

    def _text(self, plain: Sequence[dict[str, str]]) -> str:
        try:
            return _rendered(self.tokenizer, plain)
        except Exception as error:  # a template raises what it likes
            raise ProgramError(
                f"The model's chat template refuses the program's messages ({first_line(error)}): use a model whose"
                f" template takes the roles {', '.join(message['role'] for message in plain)}."
            ) from None

    def _tokens(self, text: str, **options: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, **options)["input_ids"])


def _rendered(tokenizer: Any, plain: Sequence[dict[str, str]]) -> str:
    text: str = tokenizer.apply_chat_template(
        list(plain), chat_template=_dated(tokenizer.get_chat_template()), tokenize=False, add_generation_prompt=True
    )
    return text


def _dated(template: str) -> str:
    """The template, in which `strftime_now` prints `DATE`; the empty expression keeps the template's first newline."""
    if "strftime_now" not in template:
        return template
    parts = "".join(f"|replace('{part}', '{DATE.strftime(part)}')" for part in _DATE_PARTS)
    return f"{{% macro strftime_now(format) %}}{{{{ format{parts} }}}}{{% endmacro %}}{{{{ '' }}}}{template}"


def _shows(tokenizer: Any, messages: Sequence[Message]) -> bool:
    """Whether the template takes the messages and prints the first one."""
    plain = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return messages[0].content in _rendered(tokenizer, plain)
    except Exception:  # a template raises what it likes
        return False


def _folded(plain: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages with the texts of system messages at the head of the first user message."""
    texts = [message["content"] for message in plain if message["role"] == "system"]
    others = [message for message in plain if message["role"] != "system"]
    if not texts or not others:
        return plain
    first = next((number for number, message in enumerate(others) if message["role"] == "user"), 0)
    joined = "\n\n".join([*texts, others[first]["content"]])
    return [*others[:first], others[first] | {"content": joined}, *others[first + 1 :]]
