"""From a pile of token sequences to forward passes: shared prefixes once, then batches that fit the memory."""

from collections.abc import Callable, Sequence
from typing import Any

from bt_core.config import EngineConfig
from bt_core.engine import attention
from bt_core.engine.forward import Batch, Prefix
from bt_core.engine.grouping import Group, Tokens, batches, prefix_groups
from bt_core.engine.memory import out_of_memory
from bt_core.engine.prefixes import PrefixCache

Finish = Callable[[list[int], Batch], None]
"""Takes what it wants from a batch: (the rows' indices, the batch after its prompt)."""


class Scheduler:
    """Runs sequences through one model.

    `budget` is how many tokens, padding included, a forward pass may hold. It starts as configured, is halved
    whenever memory runs out, and stays so.
    """

    def __init__(self, model: Any, pad: int, settings: EngineConfig) -> None:
        self.model, self.pad = model, pad
        self.shares_prefixes = attention.supports(model.config)
        self.budget = settings.batch_tokens
        self.computed = 0
        self._prefixes = PrefixCache(model, settings.prefix_tokens)

    def forget(self) -> None:
        """Drop the kept prefixes."""
        self._prefixes.clear()

    def run(self, weights: str, sequences: Sequence[Tokens], extra: int, finish: Finish) -> None:
        """Run every sequence and hand each batch to `finish`.

        Args:
            weights: names the adapter that is switched on; kept prefixes are its own.
            sequences: token ids, one sequence a row.
            extra: tokens that a row may still grow by in `finish`.
            finish: called once for each row; a row whose batch ran out of memory in it may come again.
        """
        groups = prefix_groups(sequences) if self.shares_prefixes else [Group(0, tuple(range(len(sequences))))]
        places = {index: (number, group.prefix) for number, group in enumerate(groups) for index in group.members}
        suffixes = [sequence[places[index][1] :] for index, sequence in enumerate(sequences)]
        before = self._prefixes.computed
        found = [self._prefixes.get(weights, sequences[g.members[0]][: g.prefix]) if g.prefix else None for g in groups]
        self.computed += self._prefixes.computed - before + sum(map(len, suffixes))
        prefixes = [found[places[index][0]] for index in range(len(sequences))]
        for batch in batches([len(suffix) for suffix in suffixes], self.budget, extra):
            # Rows of one prefix side by side.
            self._pass(sorted(batch, key=lambda index: (places[index][0], index)), suffixes, prefixes, extra, finish)

    def _pass(
        self,
        rows: list[int],
        suffixes: Sequence[Tokens],
        prefixes: Sequence[Prefix | None],
        extra: int,
        finish: Finish,
    ) -> None:
        cost = len(rows) * (max(len(suffixes[row]) for row in rows) + extra)
        if len(rows) == 1 or cost <= self.budget:
            try:
                finish(rows, self._begun([suffixes[row] for row in rows], [prefixes[row] for row in rows]))
                return
            except RuntimeError as error:
                if len(rows) == 1 or not out_of_memory(error):
                    raise
            # Out of the handler, since the exception holds the batch's tensors.
            self.budget = cost // 2
            self._prefixes.clear()
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            self._pass(part, suffixes, prefixes, extra, finish)

    def _begun(self, suffixes: Sequence[Tokens], prefixes: Sequence[Prefix | None]) -> Batch:
        batch = Batch(self.model, prefixes, self.pad)
        batch.extend(suffixes)
        return batch
