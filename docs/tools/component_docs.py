"""Write the parameter table of every component's README, from the component itself and its metadata.yaml.

python docs/tools/component_docs.py            # write
python docs/tools/component_docs.py --check    # only say whether they are up to date
"""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generated import ROOT, write_or_check

from bt_core.yaml_text import read_yaml

COMPONENTS = ROOT / "components"
START, END = "<!-- parameters: written by `make docs` -->\n", "<!-- end of parameters -->\n"

#: KFP's names of plain types, as they are written in Python.
PLAIN_TYPES = {
    "String": "str",
    "Integer": "int",
    "Float": "float",
    "Boolean": "bool",
    "List[String]": "list[str]",
    "PipelineTaskFinalStatus": "dsl.PipelineTaskFinalStatus",
}


def names() -> list[str]:
    """Every component, by its folder."""
    return sorted(path.parent.name for path in COMPONENTS.glob("*/component.py"))


def metadata(name: str) -> dict[str, Any]:
    """A component's metadata.yaml."""
    return dict(read_yaml((COMPONENTS / name / "metadata.yaml").read_text(encoding="utf-8")))


def specification(name: str) -> Any:
    """The inputs and outputs of a component as KFP reads them."""
    return getattr(importlib.import_module(f"bt_components.{name}.component"), name).component_spec


def table(name: str) -> str:
    """The parameter table of a component.

    Raises:
        KeyError: when metadata.yaml does not describe a parameter.
    """
    spec, described = specification(name), metadata(name)
    rows = [
        *_rows("input", spec.inputs or {}, described["inputs"]),
        *_rows("output", spec.outputs or {}, described["outputs"]),
    ]
    return "\n".join(["| name | direction | type | meaning |", "|---|---|---|---|", *rows, ""])


def _rows(direction: str, parameters: Mapping[str, Any], meanings: Mapping[str, str]) -> list[str]:
    return [
        f"| `{name}` | {direction} | {_type(parameter.type)} | {meanings[name]} |"
        for name, parameter in parameters.items()
    ]


def _type(kfp_type: str) -> str:
    artifact = kfp_type.removeprefix("system.").partition("@")[0]
    return f"`dsl.{artifact}`" if kfp_type.startswith("system.") else f"`{PLAIN_TYPES[kfp_type]}`"


def documents() -> dict[Path, str]:
    """Every component's README as it should be."""
    return {COMPONENTS / name / "README.md": _readme(name) for name in names()}


def _readme(name: str) -> str:
    text = (COMPONENTS / name / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(START)
    return before + START + table(name) + END + rest.split(END)[1]


if __name__ == "__main__":
    sys.exit(write_or_check(documents()))
