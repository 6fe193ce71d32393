"""Read YAML: plain data only, and with libyaml where PyYAML has it, which is ten times as fast.

PyYAML takes the last of two equal keys without a word, lets a few lines of aliases stand for billions of values, and
ends in exceptions of several kinds, or in a crash of the process, on hostile texts. All that is refused here.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

#: How deeply lists and mappings may lie in each other; libyaml's own recursion has no limit.
DEEPEST = 100
#: How many values a document may have when every alias is replaced by what it stands for.
MOST_VALUES = 1_000_000
#: How many digits a whole number may have, as in JSON (`bt_core.json_text`).
MOST_DIGITS = 300
#: How long a text may be, in characters: 64 MiB.
LARGEST = 64 << 20
_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"
#: YAML's types, by the ends of their tags, whose values JSON cannot hold.
_NO_JSON = ("binary", "set", "omap", "pairs")
#: The types of keys: text, and the signs `<<` and `=`, which stand for merged mappings and for themselves.
_KEYS = ("str", "merge", "value")


class BrokenYaml(Exception):
    """The text is no YAML that we read. `line` says where, counted from 1; `reason` is empty where it is no YAML."""

    def __init__(self, line: int, reason: str = "") -> None:
        super().__init__(f"line {line}: {reason}" if reason else f"line {line}")
        self.line, self.reason = line, reason

    @property
    def words(self) -> str:
        """What is wrong, for a sentence."""
        return f"broken YAML ({self.reason})" if self.reason else "broken YAML"


def read_yaml(text: str, texts: Collection[str] = ()) -> Any:
    """The value of a text that is one document; None for an empty text.

    Args:
        text: the document.
        texts: keys of the document below which every scalar is its text, so that `no`, `1.0` and `null` are not false,
            1 and None there.

    Raises:
        BrokenYaml: when the text is no YAML, is more than one document, or holds what is refused here: a key twice, a
            number or time that is none, more than `DEEPEST` levels, or more than `MOST_VALUES` values.
    """
    with _loader(text) as loader:
        root = loader.get_single_node()
        if texts and root is not None and root.id == "mapping":
            for value in [value for key, value in root.value if key.value in texts]:
                _take_as_written(value)
        return _value(loader, root)


def first_document(text: str) -> Any:
    """The value of a text's first document; None for an empty text. What follows the document is not read.

    Raises:
        BrokenYaml: when the document is no YAML, or as `read_yaml` does.
    """
    with _loader(text) as loader:
        return _value(loader, loader.get_node() if loader.check_node() else None)


def documents(text: str) -> list[Any]:
    """The values of all documents of a text.

    Raises:
        BrokenYaml: when one of them is no YAML, or as `read_yaml` does.
    """
    with _loader(text) as loader:
        found = []
        while loader.check_node():
            found.append(_value(loader, loader.get_node()))
        return found


@contextmanager
def _loader(text: str) -> Iterator[Any]:
    import yaml

    if len(text) > LARGEST:
        raise BrokenYaml(1, f"it has more than {LARGEST:,} characters")
    try:
        _check_depth(text)
        loader = _strict_loader()(text)
        try:
            yield loader
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # libyaml counts the end of a text as a line of its own.
        raise BrokenYaml(min(mark.line, text.count("\n")) + 1 if mark else 1) from None
    except UnicodeEncodeError as error:
        raise BrokenYaml(text.count("\n", 0, error.start) + 1, "half a surrogate pair") from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before PyYAML makes nodes of it: libyaml's binding recurses until the process crashes."""
    import yaml

    loader, level = _plain_loader()(text), 0
    try:
        while loader.check_event():
            event = loader.get_event()
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > DEEPEST:
                raise BrokenYaml(event.start_mark.line + 1, _TOO_DEEP)
    except yaml.YAMLError:
        return  # what is broken is found again, unless it lies after the first document
    finally:
        loader.dispose()


def _plain_loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _take_as_written(root: Any) -> None:
    """Make every scalar of a node a text, but the sign `<<` of a merged mapping."""
    stack, seen = [root], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack += _parts(node)
        if node.id == "scalar" and not node.tag.endswith(":merge"):
            node.tag = "tag:yaml.org,2002:str"


@cache
def _strict_loader() -> Any:
    """PyYAML's safe loader, which here names the line of a value that it cannot make."""
    plain = _plain_loader()

    def construct_object(loader: Any, node: Any, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in _NO_JSON:
            raise BrokenYaml(node.start_mark.line + 1, f"a {kind} is no JSON value")
        try:
            value = plain.construct_object(loader, node, deep)
        except (ValueError, OverflowError, AttributeError, LookupError, TypeError):
            raise BrokenYaml(node.start_mark.line + 1, f"{_short(node)} is no {kind}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise BrokenYaml(node.start_mark.line + 1, f"{_short(node)} is no finite number")
        if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise BrokenYaml(node.start_mark.line + 1, f"{_short(node)} has more than {MOST_DIGITS} digits")
        return value

    return type("StrictLoader", (plain,), {"construct_object": construct_object})


def _short(node: Any) -> str:
    text = str(node.value)
    return text if len(text) <= 40 else f"{text[:20]}..."


def _value(loader: Any, root: Any) -> Any:
    """The value of a node, once it is known to be harmless."""
    if root is None:
        return None
    _check_nodes(root)
    return loader.construct_document(root)


def _check_nodes(root: Any) -> None:
    """Refuse a key that is there twice, and aliases that make a document endless, too deep or too large."""
    measured: dict[int, tuple[int, int]] = {}  # node -> its values and levels, aliases replaced
    begun: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, is_measurable = stack.pop()
        line = node.start_mark.line + 1
        if id(node) in measured:
            continue
        parts = _parts(node)
        if is_measurable:
            values = 1 + sum(measured[id(part)][0] for part in parts)
            levels = 1 + max((measured[id(part)][1] for part in parts), default=0) if parts else 0
            if values > MOST_VALUES:
                raise BrokenYaml(line, f"its aliases stand for more than {MOST_VALUES:,} values")
            if levels > DEEPEST:
                raise BrokenYaml(line, _TOO_DEEP)
            measured[id(node)] = values, levels
        elif id(node) in begun:
            raise BrokenYaml(line, "an alias stands for what it lies in")
        else:
            begun.add(id(node))
            _check_keys(node)
            stack.append((node, True))
            stack.extend((part, False) for part in parts)


def _parts(node: Any) -> list[Any]:
    """The nodes inside a list or a mapping; none for a scalar."""
    if node.id == "sequence":
        return list(node.value)
    return [part for pair in node.value for part in pair] if node.id == "mapping" else []


def _check_keys(node: Any) -> None:
    if node.id != "mapping":
        return
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if key.id == "scalar":
            if key.tag.rpartition(":")[2] not in _KEYS:
                raise BrokenYaml(key.start_mark.line + 1, f"the key {_short(key)} is no text: write it in quotes")
            if (key.tag, key.value) in seen:
                raise BrokenYaml(key.start_mark.line + 1, f"the key {_short(key)} is there twice")
            seen.add((key.tag, key.value))
