"""From text to tokens and back, the same for every engine that takes token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from bt_core.engine.base import Message, Request, Tokens
from bt_core.engine.tokens.chat_template import ChatTemplate
from bt_core.engine.tokens.token_tree import TokenTree
from bt_core.errors import EngineError, ModelError, ProgramError, first_line
from bt_core.models import BaseModel


@dataclass(frozen=True)
class Vocabulary:
    """A model's tokenizer with its chat template, and what its configuration says of tokens.

    Attributes:
        tokenizer: the model's.
        template: renders messages and other text to tokens.
        context_length: tokens of prompt and answer together.
        size: every token's id is less.
    """

    tokenizer: Any
    template: ChatTemplate
    context_length: int
    size: int

    @classmethod
    def load(cls, model: BaseModel) -> "Vocabulary":
        """Read the tokenizer and the configuration from the model's folder, but no weights.

        Raises:
            ModelError: when they cannot be read, or the tokenizer lacks a chat template or an end token.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(model.path, trust_remote_code=False)
            config = AutoConfig.from_pretrained(model.path, trust_remote_code=False)
            has_file = (model.path / "generation_config.json").is_file()
            # Without that file, transformers generates as the model's own configuration says.
            generation = (
                GenerationConfig.from_pretrained(model.path) if has_file else GenerationConfig.from_model_config(config)
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"The tokenizer of {model.id} at {model.path} cannot be loaded ({first_line(error)}): check the folder."
            ) from None
        return cls.of(model, tokenizer, config, generation.eos_token_id)

    @classmethod
    def of(cls, model: BaseModel, tokenizer: Any, config: Any, ends: int | Sequence[int] | None) -> "Vocabulary":
        """From what transformers has read; `ends` is the generation config's `eos_token_id`: one, several or none."""
        context = int(getattr(config, "max_position_embeddings", 1 << 30))
        size = max(len(tokenizer), getattr(config.get_text_config(), "vocab_size", None) or 0)
        return cls(tokenizer, ChatTemplate(model, tokenizer, ends), context, size)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return self.template.ends

    def render(self, messages: Sequence[Message]) -> Tokens:
        """The prompt's tokens, up to the point where the assistant's answer begins.

        Raises:
            ModelError: when the template refuses the messages.
        """
        return self.template.render(messages)

    def tree(self, labels: Sequence[str]) -> TokenTree:
        """The labels' token tree.

        Raises:
            ProgramError: when two labels have the same tokens, so that the model cannot tell them apart.
        """
        try:
            return TokenTree.build([self.template.spell(label) for label in labels], self.template.end)
        except ValueError:
            raise ProgramError(
                f"Two of the possible answers {', '.join(map(repr, labels))} are the same tokens to the model: write"
                " them differently in the signature."
            ) from None

    def check_tokens(self, tokens: Sequence[int]) -> None:
        """Check tokens that came from another process.

        Raises:
            EngineError: when one of them is not the model's.
        """
        strange = next((token for token in tokens if not 0 <= token < self.size), None)
        if strange is not None:
            raise EngineError(
                f"The server answers with the token {strange}, but the model has {self.size} tokens: let it serve the"
                " same base model."
            )

    def misfit(self, request: Request, prompt: Tokens) -> str | None:
        """Why the request cannot be answered within the context length; None where it can."""
        need = len(prompt) + (0 if request.labels else request.sampling.max_tokens)
        if need <= self.context_length:
            return None
        return f"prompt and answer need {need} tokens, the model's context holds {self.context_length}"
