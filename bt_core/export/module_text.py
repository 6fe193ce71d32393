"""The statements of a module's source by the names that they define, and the names that a statement needs."""

import ast
import builtins
import inspect
import symtable
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType

from bt_core.errors import ProgramError
from bt_core.user_code import OUR_PREFIX

#: The folders of Python itself and of what is installed beside it, whose modules an exported folder imports.
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")
#: Names that Python gives every module, besides its built-in ones.
_OF_EVERY_MODULE = {"__file__"}


@dataclass(frozen=True)
class ImportedName:
    """A name that an import statement defines: `from module import original as name`, or `import module as name`."""

    name: str
    module: str
    original: str = ""

    @property
    def text(self) -> str:
        """The statement that imports this name alone."""
        if self.original:
            return f"from {self.module} import {self.clause}"
        top = self.module.partition(".")[0]
        return f"import {self.module}" + ("" if self.name == top else self._alias(self.module))

    @property
    def owner(self) -> str:
        """What the name stands for: `import urllib.error` and `import urllib.request` both give `urllib` itself."""
        if self.original:
            return f"{self.module}.{self.original}"
        top = self.module.partition(".")[0]
        return top if self.name == top else self.module

    @property
    def clause(self) -> str:
        """The part after `import` of a statement that imports this name out of its module."""
        return self.original + self._alias(self.original)

    def _alias(self, original: str) -> str:
        return "" if self.name == original else f" as {self.name}"


@dataclass(frozen=True)
class ModuleText:
    """One module's source.

    Attributes:
        name: its full name.
        text: the source.
        package: the package that relative imports start from.
    """

    name: str
    text: str = field(repr=False)
    package: str

    @classmethod
    def of(cls, name: str) -> "ModuleText":
        """Read the source of a module, which is imported where it has not been.

        Raises:
            ProgramError: when it has no source.
        """
        module: ModuleType = import_module(name)
        try:
            text = inspect.getsource(module)
        except (OSError, TypeError):
            raise ProgramError(
                f"The module {name} has no source, which an export copies: write it in a file."
            ) from None
        package = module.__spec__.parent if module.__spec__ else module.__package__
        return cls(name, text, package or "")

    @cached_property
    def statements(self) -> tuple[ast.stmt, ...]:
        """The module's statements, in order."""
        return tuple(ast.parse(self.text).body)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Name -> the numbers of the statements that define it or change it."""
        found: dict[str, list[int]] = {}
        for number, statement in enumerate(self.statements):
            for name in _defined(statement):
                found.setdefault(name, []).append(number)
        return found

    def imported(self, number: int) -> list[ImportedName]:
        """The names that a statement imports; none where it is no import."""
        return list(self._imports(self.statements[number]))

    def imports_inside(self, number: int) -> list[ImportedName]:
        """The names that functions inside a statement import when they are called."""
        return [found for node in ast.walk(self.statements[number]) for found in self._imports(node)]

    def lines(self, number: int) -> str:
        """A statement's text, with its decorators and the comments right above it."""
        statement, lines = self.statements[number], self.text.splitlines()
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        while first > 1 and lines[first - 2].startswith("#"):
            first -= 1
        return "\n".join(lines[first - 1 : statement.end_lineno])

    def _imports(self, node: ast.AST) -> Iterator[ImportedName]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield ImportedName(alias.asname or alias.name.partition(".")[0], alias.name)
        elif isinstance(node, ast.ImportFrom):
            parents = self.package.split(".")[: len(self.package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield ImportedName(alias.asname or alias.name, module, alias.name)


def names_needed(text: str) -> list[str]:
    """The names outside of a statement's text that it reads, those of Python itself left out, in a fixed order."""
    top = symtable.symtable(textwrap.dedent(text), "statement", "exec")
    own = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    found = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    found |= {symbol.get_name() for table in _inner(top) for symbol in table.get_symbols() if symbol.is_global()}
    return sorted(name for name in found - own - _OF_EVERY_MODULE if not hasattr(builtins, name))


def is_installed(module: str, home: str = "") -> bool:
    """Whether an exported folder imports a module from what is installed, and holds no copy of its source.

    Args:
        module: its full name.
        home: the top package of the task, whose source is copied wherever it lies.
    """
    top = module.partition(".")[0]
    if top.startswith(OUR_PREFIX) or top == home:
        return False
    file = getattr(import_module(top), "__file__", None)
    if file is None:
        return True
    folders = [Path(sysconfig.get_path(kind)).resolve() for kind in _INSTALLED]
    return any(Path(file).resolve().is_relative_to(folder) for folder in folders)


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner(child)


def _defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module gives a value, those inside of its `if` and `try` too."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        return
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        # `NAMES["x"] = 1` changes the value of `NAMES`.
        yield from {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        return
    for block in ("body", "orelse", "finalbody", "handlers"):
        for inner in getattr(statement, block, []):
            yield from _defined(inner)
