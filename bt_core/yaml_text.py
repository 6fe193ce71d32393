"""Read YAML: plain data only, and with libyaml where PyYAML has it, which is ten times as fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class BrokenYaml(Exception):
    """The text is no YAML. `line` says where, counted from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


def read_yaml(text: str, as_written: bool = False) -> Any:
    """The value of a text that is one document; None for an empty text.

    Args:
        text: the document.
        as_written: whether every scalar is its text, so that `no`, `1.0` and `null` are not false, 1 and None.

    Raises:
        BrokenYaml: when the text is no YAML, or is more than one document.
    """
    with _loader(text, "BaseLoader" if as_written else "SafeLoader") as loader:
        return loader.get_single_data()


def first_document(text: str) -> Any:
    """The value of a text's first document; None for an empty text. What follows the document is not read.

    Raises:
        BrokenYaml: when the document is no YAML.
    """
    with _loader(text) as loader:
        return loader.get_data() if loader.check_data() else None


def documents(text: str) -> list[Any]:
    """The values of all documents of a text.

    Raises:
        BrokenYaml: when one of them is no YAML.
    """
    with _loader(text) as loader:
        found = []
        while loader.check_data():
            found.append(loader.get_data())
        return found


@contextmanager
def _loader(text: str, kind: str = "SafeLoader") -> Iterator[Any]:
    import yaml

    loader = getattr(yaml, f"C{kind}", getattr(yaml, kind))(text)
    try:
        yield loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # libyaml counts the end of a text as a line of its own.
        raise BrokenYaml(min(mark.line, text.count("\n")) + 1 if mark else 1) from None
    finally:
        loader.dispose()
