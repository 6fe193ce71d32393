"""Loss curves: a small plot for each weight step; all plots share one vertical axis."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bt_core.formats.sweep import Node
from bt_report.scale import Scale, scale
from bt_report.text import compact

WIDTH, HEIGHT = 300, 190
_LEFT, _TOP, _RIGHT, _BOTTOM = 36, 12, WIDTH - 12, HEIGHT - 40
_ALL_POINTS, _MOST_POINTS, _FEWEST_POINTS = 6000, 120, 20

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One seed's losses: `training` is an SVG path, `held_out` has a point for each epoch."""

    seed: int
    training: str
    held_out: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """The plot of one weight step, such as the `w` of `p -> w`."""

    name: str
    short: str
    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    width: int = WIDTH
    height: int = HEIGHT


def trained(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that have loss curves, shorter strategies first."""
    with_curves = (node for node in nodes if node.loss or node.val_loss)
    return sorted(with_curves, key=lambda node: (node.strategy.count("->"), node.strategy, node.seed))


def losses(nodes: Sequence[Node]) -> list[Panel]:
    """Lay out the loss curves of all nodes that have any, grouped by strategy."""
    ordered = trained(nodes)
    if not ordered:
        return []
    most = max(_FEWEST_POINTS, min(_MOST_POINTS, _ALL_POINTS // len(ordered)))
    y = scale((loss for node in ordered for _, loss in _all(node)), _BOTTOM, _TOP, ticks=4, least=0.1)
    return [_panel(name, list(group), y, most) for name, group in groupby(ordered, key=lambda node: node.strategy)]


def _all(node: Node) -> Points:
    return [*node.loss, *node.val_loss]


def _panel(name: str, nodes: Sequence[Node], y: Scale, most: int) -> Panel:
    x = scale((0.0, *(step for node in nodes for step, _ in _in_steps(node))), _LEFT, _RIGHT, ticks=4, least=1.0)
    curves = tuple(
        Curve(
            node.seed,
            _path([(x(step), y(loss)) for step, loss in _thinned(node.loss, most)]),
            tuple((x(step), y(loss)) for step, loss in _held_out(node)),
        )
        for node in nodes
    )
    return Panel(name, compact(name), x, y, curves)


def _in_steps(node: Node) -> Iterator[tuple[float, float]]:
    yield from node.loss
    yield from _held_out(node)


def _held_out(node: Node) -> Points:
    """The held-out losses by training step; all epochs have the same number of steps."""
    last_epoch = max((epoch for epoch, _ in node.val_loss), default=0)
    last_step = max((step for step, _ in node.loss), default=last_epoch)
    return [(epoch * last_step / (last_epoch or 1), loss) for epoch, loss in node.val_loss]


def _thinned(points: Points, most: int) -> Points:
    """At most `most` points, each the mean of neighbouring ones."""
    size = max(1, math.ceil(len(points) / most))
    return [_middle(points[start : start + size]) for start in range(0, len(points), size)]


def _middle(points: Points) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _path(points: Points) -> str:
    lines = "".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(points))
    return f"{lines}h0" if len(points) == 1 else lines  # a line of no length with round ends is a dot
