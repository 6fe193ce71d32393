"""What was said before, as guesses at how an answer goes on.

A prompt search asks every question once for each candidate, behind other demonstrations, and what comes back often
begins alike; a module's answers are alike whatever the question ("... is a city located in"); and answers repeat words
of their prompt. Guesses cost next to nothing where they are wrong (`decoding`).
"""

from itertools import islice
from typing import TypeVar

from bt_core.engine.base import Tokens

K = TypeVar("K")
V = TypeVar("V")

#: Different answers kept to a question, and questions kept; a question is a prompt's last message.
ANSWERS, QUESTIONS = 8, 4_096
#: Tokens that a guess may rest on, and sequences of so many that are remembered.
CONTEXT, CONTEXTS = 2, 65_536
#: Tokens of a guess, at most.
LONGEST = 32


class Drafts:
    """The latest answers, by question, and what followed on which tokens in them."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[Tokens, None]] = {}  # all in order of use
        self._followed: dict[Tokens, Tokens] = {}

    def clear(self) -> None:
        self._answers.clear()
        self._followed.clear()

    def learn(self, question: str, answer: Tokens) -> None:
        """Keep an answer as the latest, to its question and at all."""
        known = self._answers.pop(question, {})
        known.pop(answer, None)
        self._answers[question] = _newest(known | {answer: None}, ANSWERS)
        _newest(self._answers, QUESTIONS)
        for size in range(1, CONTEXT + 1):
            for end in range(size, len(answer)):
                context = answer[end - size : end]
                self._followed.pop(context, None)
                self._followed[context] = answer[end : end + LONGEST]
        _newest(self._followed, CONTEXTS)

    def guess(self, question: str, prompt: Tokens, begun: Tokens) -> Tokens:
        """How an answer may go on; empty where nothing tells.

        Args:
            question: its prompt's last message.
            prompt: its prompt.
            begun: its tokens so far, one at least.
        """
        for answer in reversed(self._answers.get(question, {})):
            if len(answer) > len(begun) and answer[: len(begun)] == begun:
                return answer[len(begun) : len(begun) + LONGEST]
        for size in range(min(CONTEXT, len(begun)), 0, -1):
            if begun[-size:] in self._followed:
                return self._followed[begun[-size:]]
        for place in range(len(prompt) - 1, 0, -1):
            if prompt[place - 1] == begun[-1]:
                return prompt[place : place + LONGEST]
        return ()


def _newest(kept: dict[K, V], most: int) -> dict[K, V]:
    """Drop the oldest entries over `most`."""
    for key in list(islice(kept, max(0, len(kept) - most))):
        del kept[key]
    return kept
