"""Place labels beside their points so that none covers another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Width of a letter and height of a line, in units of the plots, whose letters are 12.5 high.
LETTER, LINE = 7.6, 14.0

_DISTANCES = (9, 15, 22, 30, 40)  # a label that is farther away is clutter
_DIRECTIONS = (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11)  # sixteenths of a turn: right, left, below, above
_NEAR = 15  # labels that are farther away get a line to their point
_SAMPLES = 8


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True)
class Label:
    """A text and the box that it fills; `line` leads to the point if the box is not beside it."""

    text: str
    box: Box
    line: tuple[float, float, float, float] | None = None

    @property
    def x(self) -> float:
        """Where the text begins, from the left."""
        return round(self.box.left, 1)

    @property
    def y(self) -> float:
        """The base line of the text, from the top."""
        return round(self.box.bottom - 3.5, 1)


def width(text: str) -> float:
    """An upper estimate of a text's width, good enough to keep texts apart; arrows are wider than letters."""
    return LETTER * len(text) + 5.5 * text.count("→")


def place(points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box) -> list[Label | None]:
    """A label for each point, or None if there is no room for one; earlier points get the better positions."""
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    labels: list[Label | None] = []
    for own, (point, text) in enumerate(zip(points, texts, strict=True)):
        label = _free(point, text, frame, taken, own)
        labels.append(label)
        if label:
            taken.append(label.box)
            taken += _along(label)
    return labels


def _free(point: tuple[float, float], text: str, frame: Box, taken: Sequence[Box], own: int) -> Label | None:
    """The label at the nearest free position; `own` is the index of the point's own mark in `taken`."""
    others = [*taken[:own], *taken[own + 1 :]]
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            label = _beside(point, text, distance, direction * math.pi / 8)
            if frame.holds(label.box) and not any(
                part.overlaps(other) for part in (label.box, *_along(label)) for other in others
            ):
                return label
    return None


def _beside(point: tuple[float, float], text: str, distance: float, angle: float) -> Label:
    x, y = point[0] + distance * math.cos(angle), point[1] + distance * math.sin(angle)
    shift = (1 - math.cos(angle)) / 2  # to the right of the point the text begins there, to the left it ends there
    left, top = x - shift * width(text), y - LINE * (1 - math.sin(angle)) / 2
    line = (*point, round(x, 1), round(y, 1)) if distance > _NEAR else None
    return Label(text, Box(left, top, left + width(text), top + LINE), line)


def _along(label: Label) -> list[Box]:
    """Small boxes along the line to the point, without its ends."""
    if label.line is None:
        return []
    x1, y1, x2, y2 = label.line
    shares = [index / _SAMPLES for index in range(2, _SAMPLES)]
    positions = [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in shares]
    return [Box(x - 0.5, y - 0.5, x + 0.5, y + 0.5) for x, y in positions]
