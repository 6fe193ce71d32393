"""Write the docs that are made from the code: `make docs`. With `--check`, only say whether they are up to date."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from bt_core.config import Config, Section

ROOT = Path(__file__).parents[1]

CONFIGURATION_HEAD = """\
# Configuration

Made from `bt_core/config.py` by `make docs`.

Every setting can stand in a YAML or JSON file (`bt run --config FILE`), on the command line (`--set w.epochs=5`; the
common ones have options of their own), in a task's `config`, and in the pipeline's parameter `config` (JSON). Later
wins: the defaults below, the task's `config`, the file, the options, `--set`. Unknown keys and wrong values are
refused, all at once, before anything runs.
"""


def configuration() -> str:
    """docs/configuration.md: every key with its type, default and meaning."""
    sections = [("", "The run", Config), *_sections()]
    return "\n".join([CONFIGURATION_HEAD, *(_section(*section) for section in sections)])


def _sections() -> Iterator[tuple[str, str, type[Section]]]:
    for name, field in Config.model_fields.items():
        if _is_section(field.annotation):
            yield f"{name}.", f"`{name}`", field.annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _section(prefix: str, title: str, section: type[Section]) -> str:
    rows = [
        f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {field.description or ''} |"
        for name, field in section.model_fields.items()
        if not _is_section(field.annotation)
    ]
    lead = " ".join((section.__doc__ or "").split())
    return "\n".join(
        [f"## {title}", "", lead, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _type(field: Any) -> str:
    if get_args(field.annotation) and get_origin(field.annotation) is not tuple:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    name = "list of str" if get_origin(field.annotation) is tuple else field.annotation.__name__
    return " ".join([name, *filter(None, map(_bound, field.metadata))])


def _bound(constraint: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(constraint, name):g}" for name, sign in signs.items() if hasattr(constraint, name)]
    return found[0] if found else ""


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`" if value not in ("", []) else "empty"


def documents() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    return {ROOT / "docs" / "configuration.md": configuration()}


def main(arguments: list[str]) -> int:
    """Write or check every document."""
    stale = [path for path, text in documents().items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make docs`.", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(documents()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
