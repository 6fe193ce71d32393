"""From logits to answers: decoding with drafts.

A pass over a few tokens takes little longer than over one, since both read all the weights once. A guess at how the
answer goes on (`drafts`) is therefore run together with the answer's last token, and the model's own choice of tokens
decides how much of the guess is accepted (speculative decoding, Leviathan et al. 2023, arXiv 2211.17192; here drafts
come from a look-up instead of a small model). The answers are those without drafts, up to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bt_core.engine.base import Sampling, Tokens
from bt_core.engine.local.forward import Batch
from bt_core.engine.local.pass_cost import cheap
from bt_core.engine.tokens.sampling import Stopper, generators, pick

Guess = Callable[[int, Tokens], Tokens]
"""Guesses how a row's answer goes on: (row, its tokens so far) -> tokens, perhaps none."""


@dataclass
class Answer:
    """A row's answer so far. `draft` has the tokens that were run after its last one and are not yet part of it."""

    generator: torch.Generator | None
    tokens: list[int]
    draft: Tokens = ()
    done: bool = False

    def take(self, logits: Tensor, sampling: Sampling, stopper: Stopper) -> int:
        """Take tokens from logits [.., V], which end after the draft; returns how many draft tokens were refused."""
        draft, self.draft = self.draft, ()
        for position in range(len(draft) + 1):
            token = pick(logits[len(logits) - 1 - len(draft) + position], sampling, self.generator)
            if token in stopper.ends:
                self.done = True
            else:
                self.tokens.append(token)
                self.done = len(self.tokens) == sampling.max_tokens or stopper.stops(self.tokens)
            if self.done or position == len(draft) or token != draft[position]:
                break
        return len(draft) - position


def decode(batch: Batch, sampling: Sampling, prompts: Sequence[Tokens], stopper: Stopper, guess: Guess) -> list[Tokens]:
    """Decode until each row stops; finished rows leave the batch once they are half of it.

    Args:
        batch: rows whose prompts were run.
        sampling: how the next token is picked.
        prompts: the rows' prompts, which seed their samples.
        stopper: decides where an answer ends.
        guess: makes drafts.

    Returns:
        The new tokens of each row, without the end token.
    """
    answers = [Answer(generator, []) for generator in generators(sampling, prompts)]
    most = cheap(batch.model.device.type) if batch.ours else 0  # no drafts where tokens cannot be taken back
    alive = list(range(len(answers)))
    while True:
        batch.take_back(
            [
                0 if answers[index].done else answers[index].take(batch.logits[row], sampling, stopper)
                for row, index in enumerate(alive)
            ]
        )
        going = [row for row, index in enumerate(alive) if not answers[index].done]
        if not going:
            return [tuple(answer.tokens) for answer in answers]
        if 2 * len(going) <= len(alive):
            batch.keep(going)
            alive = [alive[row] for row in going]
        room = most // len(alive) - 1
        for index in alive:
            answer = answers[index]
            if not answer.done and room > 0:
                left = sampling.max_tokens - len(answer.tokens) - 1
                answer.draft = guess(index, tuple(answer.tokens))[: min(room, left)]
        rows = [
            (answers[index].tokens[-1] if answers[index].tokens else batch.pad, *answers[index].draft)
            for index in alive
        ]
        batch.extend(rows, max(map(len, rows)))
