"""The strategies as one tree: an edge is a step, with the validation score of the program that it made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bt_core.formats.sweep import Node
from bt_report.forest import WIDTH
from bt_report.labels import width
from bt_report.text import compact, score

_LINE, _TOP, _LEFT = 34, 22, 12
_WIDEST_EDGE, _NARROWEST_EDGE = 96, 58

Path = tuple[str, ...]


@dataclass(frozen=True)
class Branch:
    """A step of the tree, over all its seeds; the root, which has no kind, is the program before any step."""

    path: Path
    name: str
    validation: float | None
    by_seed: Mapping[int, tuple[float, float]]  # before, after
    traces: Mapping[int, tuple[int, int]]  # kept, all
    outcomes: Mapping[int, str]
    is_arm: bool

    @property
    def kind(self) -> str:
        return self.path[-1] if self.path else ""

    @property
    def has_weights(self) -> bool:
        return "w" in self.path

    @property
    def title(self) -> str:
        """The scores of each seed, in words."""
        seeds = [f"seed {seed}: {score(old)} to {score(new)}" for seed, (old, new) in self.by_seed.items()]
        return "; ".join([f"{self.name}, validation", *seeds])


@dataclass(frozen=True)
class Twig:
    """A branch with its position; its edge goes from its parent's position down and then right."""

    branch: Branch
    label: str
    x: float
    y: float
    from_x: float
    from_y: float


@dataclass(frozen=True)
class Tree:
    """The tree as the template draws it."""

    width: float
    height: int
    twigs: tuple[Twig, ...]


def branches(nodes: Sequence[Node], arms: Iterable[str]) -> list[Branch]:
    """The tree's branches, each before those below it, as a reader goes through it."""
    if not nodes:
        return []
    arm_paths = {_path(arm) for arm in arms}
    names = {_path(node.strategy): node.strategy for node in nodes}
    before = {node.seed: node.validation_before for node in nodes if len(_path(node.strategy)) == 1}
    root = Branch((), "vanilla", _mean(before.values()), {}, {}, {}, True)
    return [root, *(_branch(path, names[path], nodes, path in arm_paths) for path in sorted(names))]


def _path(strategy: str) -> Path:
    return tuple(step.strip() for step in strategy.split("->"))


def _branch(path: Path, name: str, nodes: Sequence[Node], is_arm: bool) -> Branch:
    own = sorted((node for node in nodes if _path(node.strategy) == path), key=lambda node: node.seed)
    scores = {node.seed: (node.validation_before, node.validation) for node in own}
    traces = {node.seed: (node.traces_kept, node.traces_total) for node in own}
    outcomes = {node.seed: node.outcome for node in own if node.outcome}
    return Branch(path, name, _mean(after for _, after in scores.values()), scores, traces, outcomes, is_arm)


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None


def tree(drawn: Sequence[Branch]) -> Tree:
    """Lay out the branches, a line for each, deeper ones further right."""
    depth = max((len(branch.path) for branch in drawn), default=0)
    labels = [compact(branch.name) for branch in drawn]
    longest = max(map(width, labels), default=0.0)
    edge = min(_WIDEST_EDGE, max(_NARROWEST_EDGE, (WIDTH - _LEFT - 16 - longest) / max(depth, 1)))
    twigs: dict[Path, Twig] = {}
    for line, (branch, label) in enumerate(zip(drawn, labels, strict=True)):
        x, y = round(_LEFT + edge * len(branch.path), 1), float(_TOP + _LINE * line)
        parent = twigs.get(_nearest(branch.path, twigs))
        twigs[branch.path] = Twig(branch, label, x, y, parent.x if parent else x, parent.y if parent else y)
    right = max((twig.x + 14 + width(twig.label) for twig in twigs.values()), default=0.0)
    return Tree(max(WIDTH, round(right)), _TOP + _LINE * len(drawn) - 8, tuple(twigs.values()))


def _nearest(path: Path, twigs: Mapping[Path, Twig]) -> Path:
    """The longest prefix of the path that is in the tree."""
    return next((path[:length] for length in range(len(path) - 1, -1, -1) if path[:length] in twigs), ())
