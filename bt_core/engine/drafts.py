"""Answers given before, as drafts of answers to the same question.

A prompt search asks every question once for each candidate, behind other demonstrations, and what comes back often
begins alike. The question is the prompt's last message; what stands before it may differ.
"""

from bt_core.engine.grouping import Tokens

#: Different answers kept to a question, and questions kept.
ANSWERS, QUESTIONS = 8, 4_096


class Drafts:
    """The latest answers to the latest questions."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Tokens, None]] = {}  # both in order of use

    def clear(self) -> None:
        self._known.clear()

    def learn(self, question: str, answer: Tokens) -> None:
        """Keep an answer as the question's latest."""
        answers = self._known.pop(question, {})
        answers.pop(answer, None)
        answers[answer] = None
        if len(answers) > ANSWERS:
            del answers[next(iter(answers))]
        self._known[question] = answers
        if len(self._known) > QUESTIONS:
            del self._known[next(iter(self._known))]

    def guess(self, question: str, begun: Tokens) -> Tokens:
        """How the latest answer that begins like this one goes on; empty where none does."""
        for answer in reversed(self._known.get(question, {})):
            if len(answer) > len(begun) and answer[: len(begun)] == begun:
                return answer[len(begun) :]
        return ()
