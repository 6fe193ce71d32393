"""Draw a compiled strategy as docs/dag.svg: a row per step, with the programs flowing down to the test.

python docs/tools/dag_docs.py            # draw p -> w -> p
python docs/tools/dag_docs.py --check    # only say whether the picture is up to date
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from generated import ROOT, write_or_check

from bt_core.yaml_text import first_document
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy
from bt_runtime.images import DEFAULT_IMAGE

STRATEGY = ("p", "w", "p")

WIDTH, HEIGHT, COLUMN, ROW, LEFT, TOP = 156, 56, 212, 96, 60, 30
#: Input -> how its line is drawn. The rows to learn from go to every step and are not drawn.
LINES = {"program": "program", "traces": "rows", "test": "test"}

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1d2430 }
.name { font-weight: 600; font-size: 15px }
.quiet { fill: #5a6575 }
.paper { fill: #ffffff }
.box { fill: #eef1f5; stroke: #8792a2; stroke-width: 1.5 }
.p { fill: #e3efff; stroke: #2f6fd0 }
.w { fill: #ffefd9; stroke: #c0720d }
.evaluate { fill: #e2f5e9; stroke: #25824a }
.line { fill: none; stroke: #5a6575; stroke-width: 1.6 }
.rows { stroke-dasharray: 2 4; stroke-linecap: round }
.test { stroke: #25824a; stroke-dasharray: 8 4; stroke-width: 2 }
.head { fill: #5a6575 }
.head.test { fill: #25824a; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e7ebf1 }
  .quiet { fill: #a3aebd }
  .paper { fill: #14181e }
  .box { fill: #262d38; stroke: #7f8b9c }
  .p { fill: #17304f; stroke: #6ea8f7 }
  .w { fill: #43300f; stroke: #e5a74b }
  .evaluate { fill: #15382a; stroke: #5cc387 }
  .line { stroke: #a3aebd }
  .test { stroke: #5cc387 }
  .head { fill: #a3aebd }
  .head.test { fill: #5cc387 }
}
"""


@dataclass(frozen=True)
class Box:
    """A task: its two lines of text, its colour, and its column and row."""

    title: str
    colour: str
    column: int
    row: int

    @property
    def x(self) -> int:
        """Left edge."""
        return LEFT + self.column * COLUMN

    @property
    def y(self) -> int:
        """Upper edge."""
        return TOP + self.row * ROW


def boxes(tasks: Mapping[str, Any]) -> dict[str, Box]:
    """A box for every task: each step is a row (bootstrap, optimise), the other tasks are above and below them."""
    last = sum("bootstrap" in name for name in tasks) + 1
    fixed = {"prepare-data": (1, 0), "evaluate": (1, last)}
    boxes_by_task = {}
    for name, task in tasks.items():
        title = task["taskInfo"]["name"]
        step = re.match(r"(\d+)\.(\w+)", title)
        column, row = fixed[name] if step is None else (int(step[2] != "bootstrap"), int(step[1]))
        boxes_by_task[name] = Box(title, step[2] if step else name, column, row)
    return boxes_by_task


def edges(tasks: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every artifact that a task passes to another: producer, consumer, input of the consumer."""
    for name, task in tasks.items():
        for key, origin in task["inputs"].get("artifacts", {}).items():
            if key in LINES:
                yield origin["taskOutputArtifact"]["producerTask"], name, key


def route(start: Box, end: Box) -> str:
    """The path of a line between two boxes."""
    if start.row == end.row:
        return f"M{start.x + WIDTH},{start.y + HEIGHT // 2} H{end.x - 8}"
    if end.row - start.row > 1:  # around the steps
        return f"M{start.x},{start.y + 32} H{LEFT - 24} V{end.y + 22} H{end.x - 8}"
    if start.column == end.column:
        return f"M{start.x + WIDTH // 2},{start.y + HEIGHT} V{end.y - 8}"
    side = 1 if end.column > start.column else -1
    x, y = start.x + WIDTH // 2 + side * 44, start.y + HEIGHT
    to = end.x + WIDTH // 2 - side * 44
    bend = (y + end.y) // 2
    return f"M{x},{y} C{x},{bend} {to},{bend} {to},{end.y - 8}"


def picture(tasks: Mapping[str, Any]) -> str:
    """The whole drawing."""
    placed = boxes(tasks)
    width = LEFT + 2 * COLUMN + WIDTH + 36
    height = TOP + max(box.row for box in placed.values()) * ROW + HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title">',
        '<title id="title">The strategy p -> w -> p as a pipeline</title>'.replace("->", "→"),
        f"<style>{STYLE}</style>",
        *(_marker(kind) for kind in ("program", "test")),
        f'<rect class="paper" width="{width}" height="{height}" rx="10"/>',
        *(_line(route(placed[start], placed[end]), LINES[key]) for start, end, key in edges(tasks)),
        *(_box(box) for box in placed.values()),
        *_words(placed),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _marker(kind: str) -> str:
    shape = f'<path class="head {kind}" d="M0,0 L9,4.5 L0,9 z"/>'
    size = 'markerWidth="9" markerHeight="9" refX="1" refY="4.5" markerUnits="userSpaceOnUse" orient="auto"'
    return f'<marker id="{kind}" {size}>{shape}</marker>'


def _line(path: str, kind: str) -> str:
    return f'<path class="line {kind}" d="{path}" marker-end="url(#{"test" if kind == "test" else "program"})"/>'


def _box(box: Box) -> str:
    name, _, rest = box.title.partition(" ")
    middle = box.x + WIDTH // 2
    return (
        f'<rect class="box {box.colour}" x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="name" x="{middle}" y="{box.y + 24}" text-anchor="middle">{escape(name)}</text>'
        f'<text class="quiet" x="{middle}" y="{box.y + 43}" text-anchor="middle">{escape(rest)}</text>'
    )


def _words(placed: Mapping[str, Box]) -> Iterator[str]:
    """The name of the line around the steps, and the legend."""
    end = placed["evaluate"]
    yield f'<text class="quiet" x="{LEFT}" y="{end.y + 14}">test split, sealed until here</text>'
    x, y = LEFT + 2 * COLUMN + 4, TOP + 16
    legend = (("program", "a program directory"), ("rows", "traces"), ("test", "the test split"))
    for number, (kind, meaning) in enumerate(legend):
        yield _line(f"M{x},{y + number * 24 - 4} h26", kind)
        yield f'<text class="quiet" x="{x + 44}" y="{y + number * 24}">{meaning}</text>'
    for number, words in enumerate(("Not drawn: train and val,", "which go to every step.")):
        yield f'<text class="quiet" x="{x}" y="{y + 84 + number * 18}">{words}</text>'


def drawing() -> str:
    """The picture of the strategy as it compiles now."""
    with tempfile.TemporaryDirectory() as folder:
        path = compile_strategy(STRATEGY, Path(folder) / "pipeline.yaml", Options(image=DEFAULT_IMAGE))
        pipeline = first_document(path.read_text(encoding="utf-8"))
    return picture(pipeline["root"]["dag"]["tasks"])


if __name__ == "__main__":
    sys.exit(write_or_check({ROOT / "docs" / "dag.svg": drawing()}))
