"""The part of several modules that some of their names need, as the text of one file that imports none of them.

A program's code imports this project for its task, its metric and its data, none of which it needs to answer. So the
statements that its classes and functions need are followed from name to name and copied; what is installed from
elsewhere is imported.
"""

from collections.abc import Iterator

from bt_core.errors import ProgramError
from bt_core.export.module_text import ImportedName, ModuleText, is_installed, names_needed

_FUTURE = "__future__"


class Slice:
    """Collects statements for the names that are asked for.

    Args:
        home: the top package of the task, whose source is copied wherever it lies.
    """

    def __init__(self, home: str = "") -> None:
        self.installed: set[str] = set()
        self._home = home
        self._imports: set[ImportedName] = set()
        self._statements: dict[str, set[int]] = {}
        self._aliases: dict[str, set[str]] = {}
        self._needs: dict[str, list[str]] = {}
        self._texts: dict[str, ModuleText] = {}
        self._owners: dict[str, str] = {}

    def add(self, module: str, name: str) -> str:
        """Take in a name of a module and all that it needs, and return the name.

        Raises:
            ProgramError: when something of it cannot be copied.
        """
        if is_installed(module, self._home):
            self._import(ImportedName(name, module, name))
            return name
        self._statements.setdefault(module, set())
        source = self._text(module)
        if name not in source.places:
            raise ProgramError(
                f"The module {module} does not write where `{name}` comes from, which an export copies: define or"
                " import it there by its name."
            )
        for number in source.places[name]:
            imported = next((found for found in source.imported(number) if found.name == name), None)
            if imported is not None:
                self._follow(source, imported)
            else:
                self.claim(name, module)
                self._copy(source, number)
        return name

    def need(self, module: str, names: list[str]) -> None:
        """Take in those of the names that a module defines."""
        for name in names:
            self.add(module, name)

    def text(self) -> str:
        """The imports, then the statements: modules after those that they need, each in its own order."""
        parts = ["\n".join(_import_lines(self._imports))]
        for module in self._in_order():
            source = self._text(module)
            parts += sorted(self._aliases.get(module, ()))
            parts += [source.lines(number) for number in sorted(self._statements.get(module, ()))]
        return "\n\n\n".join(filter(None, parts)) + "\n"

    def _text(self, module: str) -> ModuleText:
        if module not in self._texts:
            self._texts[module] = ModuleText.of(module)
        return self._texts[module]

    def _copy(self, source: ModuleText, number: int) -> None:
        numbers = self._statements.setdefault(source.name, set())
        if number in numbers:
            return
        numbers.add(number)
        for inside in source.imports_inside(number):
            if not is_installed(inside.module, self._home):
                raise ProgramError(
                    f"A function of {source.name} imports {inside.module} while it runs, where an export cannot copy"
                    " it: import it at the top of the module."
                )
            self._note(inside)
        for name in source.places.get("annotations", []):
            self._imports.update(found for found in source.imported(name) if found.module == _FUTURE)
        self.need(source.name, names_needed(source.lines(number)))

    def _follow(self, source: ModuleText, imported: ImportedName) -> None:
        if is_installed(imported.module, self._home):
            self._import(imported)
            return
        is_module = imported.original not in self._text(imported.module).places
        if not imported.original or is_module:
            raise ProgramError(
                f"{source.name} says `{imported.text}`, which an export cannot take apart: import the names that the"
                " program uses, `from module import name`."
            )
        self._needs.setdefault(source.name, []).append(imported.module)
        self.add(imported.module, imported.original)
        if imported.name != imported.original:
            self.claim(imported.name, source.name)
            self._aliases.setdefault(source.name, set()).add(f"{imported.name} = {imported.original}")

    def _import(self, imported: ImportedName) -> None:
        self.claim(imported.name, imported.owner)
        self._imports.add(imported)
        self._note(imported)

    def _note(self, imported: ImportedName) -> None:
        self.installed.add(imported.module.partition(".")[0])

    def claim(self, name: str, module: str) -> None:
        """Say where a name of the file comes from.

        Raises:
            ProgramError: when the file has the name from elsewhere.
        """
        owner = self._owners.setdefault(name, module)
        if owner != module:
            raise ProgramError(
                f"The program uses a `{name}` of {owner} and another one of {module}, and an export writes one file:"
                " rename one of them."
            )

    def _in_order(self) -> Iterator[str]:
        done: set[str] = set()

        def visit(module: str) -> Iterator[str]:
            if module in done:
                return
            done.add(module)
            for needed in self._needs.get(module, ()):
                yield from visit(needed)
            yield module

        for module in [*self._needs, *self._statements]:
            yield from visit(module)


def _import_lines(imports: set[ImportedName]) -> Iterator[str]:
    """The import statements, one for each module, sorted."""
    yield from sorted({imported.text for imported in imports if not imported.original})
    names: dict[str, list[str]] = {}
    for imported in sorted(imports, key=lambda found: (found.module != _FUTURE, found.module, found.name)):
        if imported.original:
            names.setdefault(imported.module, []).append(imported.clause)
    yield from (f"from {module} import {', '.join(clauses)}" for module, clauses in names.items())
