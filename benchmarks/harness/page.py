"""The results part of docs/benchmarks.md, made of the JSON files in benchmarks/results/."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.record import RESULTS, ROOT

#: The benchmarks that run where none is named, in the order in which they run and are shown.
NAMES = ("limits", "engine", "train", "scaling", "orchestration", "vs_dspy")
#: Those that run only by name, since they need data.
BY_NAME = ("closed",)
PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- results: written by `python -m benchmarks` -->\n", "<!-- end of results -->\n"


def page(results: Path = RESULTS) -> str:
    """The content of docs/benchmarks.md: its prose unchanged, its results from the JSON files.

    Raises:
        ValueError: when the page has lost its markers.
    """
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    return before + START + "".join(_sections(results)) + rest[rest.index(END) :]


def _sections(results: Path) -> Iterator[str]:
    files = [results / f"{name}.json" for name in (*NAMES, *BY_NAME) if (results / f"{name}.json").is_file()]
    if not files:
        yield "\nNo results yet.\n\n"
    for path in files:
        yield _section(json.loads(path.read_text(encoding="utf-8")))


def _section(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    where = f"{machine['cpus']} CPUs" + (f", {machine['gpu']}" if machine["gpu"] != "none" else "")
    parts = [
        f"\n### {document['name']}\n",
        f"`{machine['command']}`: {document['repeats']} repeats, {where}, {machine['torch_threads']} threads,"
        f" {versions}; {machine['date']}, revision {machine['revision']}.\n",
    ]
    if document["quick"]:
        parts.append("**At its quick size, which shows that it works and measures nothing.**\n")
    parts += [_table(table) for table in document["tables"]]
    parts += [f"{note}\n" for note in document["notes"]]
    return "\n".join(parts) + "\n"


def _table(table: Mapping[str, Any]) -> str:
    rule = ["---", *["---:"] * (len(table["columns"]) - 1)]
    lines = [_line(table["columns"]), _line(rule), *map(_line, table["rows"])]
    return f"{table['title']}:\n\n" + "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
