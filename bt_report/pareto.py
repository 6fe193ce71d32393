"""Plots of quality against price, and the programs that no other program dominates."""

from collections.abc import Sequence
from dataclasses import dataclass

from bt_report.labels import Box, Label, place
from bt_report.scale import Scale, scale
from bt_report.text import compact

WIDTH, HEIGHT = 390, 330
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 14, WIDTH - 14, HEIGHT - 46


@dataclass(frozen=True)
class Offer:
    """A program with its mean test score and its price (smaller is better)."""

    name: str
    kind: str
    price: float
    score: float
    title: str


@dataclass(frozen=True)
class Point:
    """An offer with its position in the plot; `is_best`: no other offer dominates it."""

    offer: Offer
    x: float
    y: float
    is_best: bool
    label: Label | None


@dataclass(frozen=True)
class Pareto:
    """The plot as the template draws it; `steps` is the line along the offers that none dominates."""

    x: Scale
    y: Scale
    points: tuple[Point, ...]
    steps: str
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def unnamed(self) -> int:
        """The number of points without room for their name."""
        return sum(point.label is None for point in self.points)


def not_dominated(offers: Sequence[Offer]) -> list[bool]:
    """For each offer, whether no other scores at least as high at no higher price and is better in one of the two."""
    return [not any(_dominates(other, offer) for other in offers) for offer in offers]


def _dominates(left: Offer, right: Offer) -> bool:
    is_as_good = left.score >= right.score and left.price <= right.price
    return is_as_good and (left.score > right.score or left.price < right.price)


def pareto(offers: Sequence[Offer]) -> Pareto:
    """Lay out the offers: price to the right, score upwards."""
    x = scale((offer.price for offer in offers), _LEFT + 10, _RIGHT, ticks=4, least=1.0)
    y = scale((offer.score for offer in offers), _BOTTOM - 10, _TOP + 6)
    best = not_dominated(offers)
    positions = [(x(offer.price), y(offer.score)) for offer in offers]
    # Labels get their room in this order; the template draws in the reverse order, so that the best lie on top.
    order = sorted(range(len(offers)), key=lambda index: (not best[index], -offers[index].score))
    labels = place(
        [positions[index] for index in order],
        [compact(offers[index].name) for index in order],
        Box(_LEFT + 2, 0, WIDTH, _BOTTOM - 2),
    )
    points = tuple(
        Point(offers[index], *positions[index], best[index], label) for index, label in zip(order, labels, strict=True)
    )
    return Pareto(x, y, points, _steps(points))


def _steps(points: Sequence[Point]) -> str:
    """The path along the best offers, from the cheapest to the dearest, as a staircase."""
    best = sorted({(point.x, point.y) for point in points if point.is_best})
    return "".join(f"M{x} {y}" if index == 0 else f"H{x}V{y}" for index, (x, y) in enumerate(best))
