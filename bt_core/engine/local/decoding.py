"""From logits to answers: decoding with drafts, where an answer ends, and which token comes next.

A pass over a few tokens takes little longer than over one, since both read all the weights once. A guess at how the
answer goes on (`drafts`) is therefore run together with its last token; what the model itself would have said
decides how much of it stands (speculative decoding: Leviathan et al. 2023, arXiv 2211.17192; drafts from a look-up
instead of a small model). Answers are those without drafts, up to rounding.
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
"""How a row's answer may go on: (row, its tokens so far) -> tokens, perhaps none."""


@dataclass
class Answer:
    """A row's answer so far; `draft` is what was run behind its last token and is not yet part of it."""

    generator: torch.Generator | None
    tokens: list[int]
    draft: Tokens = ()
    done: bool = False

    def take(self, logits: Tensor, sampling: Sampling, stopper: Stopper) -> int:
        """Take tokens from logits [.., V], the last of them behind the draft; returns how much of that failed."""
        draft, self.draft = self.draft, ()
        for place in range(len(draft) + 1):
            token = pick(logits[len(logits) - 1 - len(draft) + place], sampling, self.generator)
            if token in stopper.ends:
                self.done = True
            else:
                self.tokens.append(token)
                self.done = len(self.tokens) == sampling.max_tokens or stopper.stops(self.tokens)
            if self.done or place == len(draft) or token != draft[place]:
                break
        return len(draft) - place


def decode(batch: Batch, sampling: Sampling, prompts: Sequence[Tokens], stopper: Stopper, guess: Guess) -> list[Tokens]:
    """Decode until each row stops; rows that are done leave the batch once half of it is.

    Args:
        batch: after its prompts.
        sampling: how the next token is picked.
        prompts: of the rows, which seed their samples.
        stopper: knows where an answer ends.
        guess: makes drafts.

    Returns:
        The new tokens of each row, the end token left out.
    """
    answers = [Answer(generator, []) for generator in generators(sampling, prompts)]
    most = cheap(batch.model.device.type) if batch.ours else 0  # no draft where nothing can be taken back
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
