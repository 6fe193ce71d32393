"""From token sequences to forward passes: shared prefixes once, then batches that fit the memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bt_core.config import EngineConfig
from bt_core.engine.base import Tokens
from bt_core.engine.local import attention
from bt_core.engine.local.forward import Batch, Prefix, join
from bt_core.engine.local.grouping import Group, batches, evenly, parts, prefix_groups
from bt_core.engine.local.memory import out_of_memory, release
from bt_core.engine.local.pass_cost import broad, cheap
from bt_core.engine.local.prefixes import PrefixCache
from bt_core.progress import Progress, current_label

Finish = Callable[[list[int], Batch], None]
"""Reads its results from a batch: (the rows' indices, the batch whose prompts were run)."""


@dataclass(frozen=True)
class _Work:
    """The arguments of one `Scheduler.run`, with each row split into its shared prefix and its suffix.

    `tails` has the number of last positions of each row whose logits are needed.
    """

    suffixes: Sequence[Tokens]
    prefixes: Sequence[Prefix | None]
    extra: int
    tails: Sequence[int]
    finish: Finish


class Scheduler:
    """Runs sequences through one model.

    `budget` is how many tokens, padding included, a forward pass may hold. It starts as configured, and is halved for
    good whenever memory runs out.
    """

    def __init__(self, model: Any, pad: int, settings: EngineConfig) -> None:
        self.model, self.pad = model, pad
        self.shares_prefixes = self._joins = attention.supports(model.config)
        self.budget = settings.batch_tokens
        self._overhead, self._broad = cheap(model.device.type), broad(model.device.type)
        self.computed = 0
        self._prefixes = PrefixCache(model, settings.prefix_tokens, pad)

    def forget(self) -> None:
        """Drop the kept prefixes."""
        self._prefixes.clear()

    def run(
        self,
        weights: str,
        sequences: Sequence[Tokens],
        extra: int,
        finish: Finish,
        tails: Sequence[int] | None = None,
    ) -> None:
        """Run every sequence and hand each batch to `finish`.

        Args:
            weights: names the adapter that is switched on, since every adapter has its own prefixes.
            sequences: token ids, one sequence for each row.
            extra: how many tokens a row may still grow by in `finish`.
            finish: gets every row once; a row whose batch ran out of memory in it may come again.
            tails: at how many positions of each row, from the end, logits are needed; None: at the last one.
        """
        tails = tails or [1] * len(sequences)
        # A prefix that is computed apart gives no logits, so it ends before the first position that needs them.
        shareable = [sequence[: len(sequence) - tail + 1] for sequence, tail in zip(sequences, tails, strict=True)]
        groups = self._groups(weights, shareable)
        group_of = {index: number for number, group in enumerate(groups) for index in group.members}
        suffixes = [sequence[groups[group_of[index]].prefix :] for index, sequence in enumerate(sequences)]
        before = self._prefixes.computed
        shared = [sequences[group.members[0]][: group.prefix] for group in groups]
        computed = self._prefixes.get(weights, filter(None, shared))
        self.computed += self._prefixes.computed - before + sum(map(len, suffixes))
        prefixes = [computed.get(shared[group_of[index]]) for index in range(len(sequences))]
        work = _Work(suffixes, prefixes, extra, tails, finish)
        progress = Progress(current_label(), "prompt", len(sequences))
        for batch in batches([len(suffix) for suffix in suffixes], self.budget, extra):
            self._pass(batch, work)
            progress.add(len(batch))

    def _groups(self, weights: str, sequences: Sequence[Tokens]) -> list[Group]:
        if not self.shares_prefixes:
            return [Group(0, tuple(range(len(sequences))))]
        return prefix_groups(sequences, self._overhead, kept=partial(self._prefixes.kept, weights))

    def _pass(self, rows: list[int], work: _Work) -> None:
        cost = len(rows) * (max(len(work.suffixes[row]) for row in rows) + work.extra)
        if len(rows) == 1 or cost <= self.budget:
            try:
                self._whole(rows, work)
                return
            except RuntimeError as error:
                if len(rows) == 1 or not out_of_memory(error):
                    raise
            # Outside of the handler and of `_whole`, since the exception and its frames hold the batches' tensors.
            self.budget = (cost if work.extra else min(cost, self._broad or cost)) // 2
            self._prefixes.clear()
            release()
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            self._pass(part, work)

    def _whole(self, rows: list[int], work: _Work) -> None:
        """Run the rows, in several parts where that saves padding or keeps a pass within the CPU's caches."""
        lengths = [len(work.suffixes[row]) for row in rows]
        cut = parts(lengths, self._overhead) if self._joins else [list(range(len(rows)))]
        if self._joins and self._broad:
            cut = [piece for part in cut for piece in evenly(part, lengths, self._broad)]
        ordered = [_group_by_prefix([rows[position] for position in part], work.prefixes) for part in cut]
        started = (self._start(part, work) for part in ordered)
        if work.extra:
            work.finish([row for part in ordered for row in part], join(started))
        else:
            for part, batch in zip(ordered, started, strict=True):
                work.finish(part, batch)

    def _start(self, rows: Sequence[int], work: _Work) -> Batch:
        batch = Batch(self.model, [work.prefixes[row] for row in rows], self.pad)
        batch.extend([work.suffixes[row] for row in rows], max(work.tails[row] for row in rows))
        return batch


def _group_by_prefix(rows: Sequence[int], prefixes: Sequence[Prefix | None]) -> list[int]:
    """The rows in an order in which those with the same prefix stand together."""
    first = {id(prefixes[row]): row for row in reversed(rows)}
    return sorted(rows, key=lambda row: (first[id(prefixes[row])], row))
