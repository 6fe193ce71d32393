"""Write docs/configuration.md from the configuration itself.

python docs/tools/configuration_docs.py            # write
python docs/tools/configuration_docs.py --check    # only say whether it is up to date
"""

import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from generated import ROOT, write_or_check

from bt_core.config import SEED_LIMIT, Config, Section

CONFIGURATION_HEAD = """\
# Configuration

Made from `bt_core/config/` by `make docs`.

Every setting can stand in a YAML or JSON file (`bt run --config FILE`, or the name of one that comes with a task), on
the command line (`--set w.epochs=5`; the common ones have options of their own), in a task's `config`, and in the
pipeline's parameter `config` (JSON). The later one wins: the defaults below, the task's `config`, the file, the
options, `--set`. Unknown keys and wrong values are refused, all at once, before anything runs. An installed package
that registers a step kind adds a section with the name of that kind.
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
    if get_origin(field.annotation) is dict:
        return "mapping"
    if get_args(field.annotation) and get_origin(field.annotation) is not tuple:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    name = "list of str" if get_origin(field.annotation) is tuple else field.annotation.__name__
    return " ".join([name, *filter(None, map(_bound, field.metadata))])


def _bound(constraint: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {_number(getattr(constraint, name))}" for name, sign in signs.items() if hasattr(constraint, name)
    ]
    return found[0] if found else ""


def _number(value: float) -> str:
    return "2^32" if value == SEED_LIMIT else f"{value:g}"


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`" if value not in ("", [], {}) else "empty"


if __name__ == "__main__":
    sys.exit(write_or_check({ROOT / "docs" / "configuration.md": configuration()}))
