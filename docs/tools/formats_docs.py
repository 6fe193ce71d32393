"""Write the tables of docs/formats.md from the models of the files; the text around them is written by hand.

python docs/tools/formats_docs.py            # write
python docs/tools/formats_docs.py --check    # only say whether they are up to date
"""

import re
import sys
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from generated import ROOT, write_or_check

from bt_core.formats.document import Document, Part
from bt_core.formats.rows import ChallengeRow, ComparedRow, ScoredRow
from bt_core.formats.run_result import RunResult
from bt_core.formats.sweep import Sweep

DOCUMENT = ROOT / "docs" / "formats.md"
#: Block of the document -> the models of the objects that it begins with.
BLOCKS: dict[str, Sequence[type[Part]]] = {
    "results.jsonl": (ComparedRow, ScoredRow, ChallengeRow),
    "result.json": (RunResult,),
    "sweep.json": (Sweep,),
}
PLAIN_TYPES = {str: "text", int: "integer", float: "number", bool: "true or false"}


def block(first: Sequence[type[Part]]) -> str:
    """A table for each model and for each model in it, every one once."""
    models = list(dict.fromkeys(part for model in first for part in _with_parts(model)))
    return "\n".join(map(_section, models))


def _with_parts(model: type[Part]) -> Iterator[type[Part]]:
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            yield from _with_parts(part)


def _parts(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _section(model: type[Part]) -> str:
    """The model's table, under its name if it is a part of a file."""
    is_file = issubclass(model, Document)
    head = [] if is_file else [f"### `{model.__name__}`", "", " ".join((model.__doc__ or "").split()), ""]
    rows = [
        f"| `{field.alias or name}` | {_type(field.annotation)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([*head, "| key | type | meaning |", "|---|---|---|", *rows, ""])


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (UnionType, Union):
        return " or ".join("null" if argument is type(None) else _type(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}" if arguments[-1] is ... else f"[{', '.join(map(_type, arguments))}]"
    if origin is dict:
        return "object" if arguments[1] is Any else f"object of {_type(arguments[1])}"
    return PLAIN_TYPES.get(annotation, f"`{annotation.__name__}`")


def document() -> str:
    """docs/formats.md with its tables renewed; the text between them stays."""
    text = DOCUMENT.read_text("utf-8")
    for name, models in BLOCKS.items():
        mark = rf"(<!-- {name}: written by `make docs` -->\n).*?(<!-- end of {name} -->)"
        tables = block(models)
        text = re.sub(mark, lambda match, tables=tables: f"{match[1]}\n{tables}\n{match[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    sys.exit(write_or_check({DOCUMENT: document()}))
