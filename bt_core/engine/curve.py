"""How a training went, as a record that reads without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """How training went: (step, loss) points, (epoch, loss on the held-out rows), and what it cost.

    `micro_batch` is how many sequences fitted the memory at a time, `w.batch_size` where all did.
    `tokens` and wall `seconds` are those of the training itself, also where its adapter came from the cache.
    """

    loss: list[tuple[int, float]]
    val_loss: list[tuple[int, float]]
    best_epoch: int
    tokens: int
    seconds: float
    micro_batch: int
    cached: bool = False
