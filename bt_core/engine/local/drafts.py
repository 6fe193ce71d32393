"""Drafts: guesses from earlier answers at how an answer goes on.

A prompt search asks every question once for each candidate, with other demonstrations, and the answers often begin
alike. A module's answers resemble each other whatever the question ("... is a city located in"), and answers repeat
words of their prompt. A wrong guess costs next to nothing (`decoding`).
"""

from itertools import islice
from typing import TypeVar

from bt_core.engine.base import Tokens

K = TypeVar("K")
V = TypeVar("V")

#: How many different answers are kept for a question, and how many questions; a question is a prompt's last message.
ANSWERS, QUESTIONS = 8, 4_096
#: How many last tokens a guess may depend on, and how many such contexts are kept.
CONTEXT, CONTEXTS = 2, 65_536
#: The most tokens in a guess.
LONGEST = 32


class Drafts:
    """The latest answers to each question, and which tokens followed which in all answers."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[Tokens, None]] = {}  # both in the order of use
        self._followed: dict[Tokens, Tokens] = {}

    def clear(self) -> None:
        """Forget all answers."""
        self._answers.clear()
        self._followed.clear()

    def learn(self, question: str, answer: Tokens) -> None:
        """Keep an answer as the latest one, to its question and of all."""
        earlier = self._answers.pop(question, {})
        earlier.pop(answer, None)
        self._answers[question] = _newest(earlier | {answer: None}, ANSWERS)
        _newest(self._answers, QUESTIONS)
        for size in range(1, CONTEXT + 1):
            for end in range(size, len(answer)):
                context = answer[end - size : end]
                self._followed.pop(context, None)
                self._followed[context] = answer[end : end + LONGEST]
        _newest(self._followed, CONTEXTS)

    def guess(self, question: str, prompt: Tokens, answer: Tokens) -> Tokens:
        """Guess how an answer goes on; empty where no guess can be made.

        Args:
            question: the last message of its prompt.
            prompt: the tokens of its prompt.
            answer: the tokens of the answer so far, at least one.
        """
        for earlier in reversed(self._answers.get(question, {})):
            if len(earlier) > len(answer) and earlier[: len(answer)] == answer:
                return earlier[len(answer) : len(answer) + LONGEST]
        for size in range(min(CONTEXT, len(answer)), 0, -1):
            if answer[-size:] in self._followed:
                return self._followed[answer[-size:]]
        for position in range(len(prompt) - 1, 0, -1):
            if prompt[position - 1] == answer[-1]:
                return prompt[position : position + LONGEST]
        return ()


def _newest(kept: dict[K, V], most: int) -> dict[K, V]:
    """Drop the oldest entries, so that at most `most` remain."""
    for key in list(islice(kept, max(0, len(kept) - most))):
        del kept[key]
    return kept
