"""Python values as source text: what a task's factory has in its closure or its arguments."""

import ast
import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from bt_core.errors import ProgramError
from bt_core.export.module_text import ModuleText, names_needed
from bt_core.export.slicing import Slice


@runtime_checkable
class Exportable(Protocol):
    """A value that cannot be written as it is, and makes another one for an exported folder."""

    def exported(self, folder: Path) -> Any:
        """An equal value that can be written as source; files that it reads are written to `folder`."""


class Source:
    """The source of one file: names of modules, and values under names of their own.

    Args:
        folder: the folder that the file is written to.
        home: the top package of the task.
    """

    def __init__(self, folder: Path, home: str = "") -> None:
        self.slice = Slice(home)
        self._folder = folder
        self._statements: dict[str, str] = {}

    def define(self, name: str, value: Any) -> None:
        """Let the file give a name to a value.

        Raises:
            ProgramError: when the value cannot be written as source.
        """
        expression = self._expression(value, name)
        if expression != name:
            self._state(name, f"{name} = {expression}")

    def text(self) -> str:
        """The file's text."""
        return "\n\n".join([self.slice.text(), *self._statements.values()]).rstrip() + "\n"

    def _expression(self, value: Any, what: str) -> str:
        if isinstance(value, Exportable) and not isinstance(value, type):
            value = value.exported(self._folder)
        write = next((write for kinds, write in self._writers() if isinstance(value, kinds)), None)
        if write is not None:
            return write(value, what)
        if is_dataclass(value):
            given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
            return self._call(self._named(type(value)), (), given)
        raise ProgramError(
            f"The program's `{what}` is a {type(value).__name__}, which cannot be written as source text: make it in"
            " the program's `__init__`, or give its class a method `exported(folder)` that returns a value which can."
        )

    def _writers(self) -> tuple[tuple[Any, Callable[[Any, str], str]], ...]:
        """Types, and how their values are written; the first that fits counts."""
        return (
            (Enum, lambda value, _: f"{self._named(type(value))}[{value.name!r}]"),
            ((type(None), bool, int, str, bytes), lambda value, _: repr(value)),
            (float, lambda value, _: repr(value) if value - value == 0 else f"float({str(value)!r})"),
            (list, lambda value, what: f"[{self._listed(value, what)}]"),
            (tuple, lambda value, what: f"({self._listed(value, what)}{',' if len(value) == 1 else ''})"),
            ((set, frozenset), lambda value, what: f"{type(value).__name__}([{self._listed(sorted(value), what)}])"),
            (Mapping, self._mapping),
            (type, lambda value, _: self._named(value)),
            (functools.partial, self._partial),
            (FunctionType, self._function),
            (MethodType, lambda value, what: f"{self._expression(value.__self__, what)}.{value.__name__}"),
            (BaseModel, self._model),
        )

    def _listed(self, values: Iterable[Any], what: str) -> str:
        return ", ".join(self._expression(value, what) for value in values)

    def _mapping(self, values: Mapping[Any, Any], what: str) -> str:
        pairs = (f"{self._expression(key, what)}: {self._expression(value, what)}" for key, value in values.items())
        return f"{{{', '.join(pairs)}}}"

    def _model(self, value: BaseModel, what: str) -> str:
        given = value.model_dump(exclude_defaults=True)  # the defaults are in its source
        return f"{self._named(type(value))}.model_validate({self._expression(given, what)})"

    def _partial(self, value: Any, _: str) -> str:
        return self._call(self._named(functools.partial), (value.func, *value.args), value.keywords)

    def _call(self, function: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        parts = [self._expression(value, function) for value in positional]
        parts += [f"{name}={self._expression(value, name)}" for name, value in named.items()]
        return f"{function}({', '.join(parts)})"

    def _named(self, value: Any) -> str:
        """A class or function of a module, by its name there."""
        module, name = value.__module__, str(value.__qualname__)
        if "<locals>" in name:
            raise ProgramError(
                f"`{name}` of {module} is a class made inside of a function, which cannot be written as source text:"
                " write it at the top of its module."
            )
        if module != "builtins":
            self.slice.add(module, name.partition(".")[0])
        return name

    def _function(self, value: FunctionType, _: str) -> str:
        if "<" not in value.__qualname__:
            return self._named(value)
        # Made inside of another function: its text, and what it found there as names of the file.
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.define(name, cell.cell_contents)
        text = _text_of(value)
        self.slice.need(value.__module__, [one for one in names_needed(text) if one not in value.__code__.co_freevars])
        if text.startswith("lambda"):
            return text
        self._state(value.__name__, text)
        return value.__name__

    def _state(self, name: str, statement: str) -> None:
        self.slice.claim(name, f"the closure of the task ({statement})")
        self._statements[name] = statement


def _text_of(function: FunctionType) -> str:
    """The source of a lambda or of a function inside of another one."""
    source = ModuleText.of(function.__module__)
    line, kind = function.__code__.co_firstlineno, ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(ast.parse(source.text)) if isinstance(node, kind) and node.lineno == line]
    if len(found) != 1:
        raise ProgramError(
            f"An export cannot tell which function in line {line} of {source.name} is the program's: write one on each"
            " line, without decorators."
        )
    return textwrap.dedent(" " * found[0].col_offset + (ast.get_source_segment(source.text, found[0]) or ""))
