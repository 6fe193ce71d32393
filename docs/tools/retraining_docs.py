"""Write the tables of docs/retraining.md from the figures in docs/data.

python docs/tools/retraining_docs.py            # write
python docs/tools/retraining_docs.py --check    # only say whether they are up to date
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from generated import ROOT, write_or_check

DOCUMENT = ROOT / "docs" / "retraining.md"
MEASURED = ROOT / "docs" / "data" / "retraining_simulation.json"
METHODS = ("nightly", "carried")
GAINS = ("0.05", "0.10")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def both(found: Mapping[str, Any], shown: Callable[[Any], str]) -> list[str]:
    """The figures of the earlier method and of the one in use."""
    return [shown(found[method]) for method in METHODS]


def year(measured: Mapping[str, Any]) -> str:
    """A year of challengers that are as good as the champion."""
    head = ["fresh rows a night", "promotions a year, before", "now", "years with one or more, before", "now"]
    rows = [
        [
            rows,
            *both(found, lambda one: f"{one['a year']:.2f}"),
            *both(found, lambda one: f"{one['years with one']:.0%}"),
        ]
        for rows, found in measured["equal"].items()
    ]
    return table(head, rows)


def gains(measured: Mapping[str, Any]) -> str:
    """Nights until a gain is adopted, and the bias of the gain that is reported then."""
    head = [
        "true gain",
        "fresh rows a night",
        "nights to adopt it, before",
        "now",
        "reported gain too high by, before",
        "now",
    ]
    rows = [
        [
            f"+{gain}",
            rows,
            *both(found, lambda one: f"{one['nights']:.0f}"),
            *both(found, lambda one: f"{one['excess']:.2f}"),
        ]
        for gain in GAINS
        for rows, found in measured["gains"][gain].items()
    ]
    return table(head, rows)


def checks(measured: Mapping[str, Any]) -> str:
    """False alarms of the drift report, and promotions on skewed differences."""
    head = [
        "fresh rows a night",
        "false alarms, before",
        "now",
        "skewed: promoted in one night, before",
        "in all nights, now",
    ]
    rows = [
        [
            rows,
            *(f"{share:.1%}" for share in measured["false alarms"][rows].values()),
            *both(measured["skewed"][rows], lambda share: f"{share:.1%}"),
        ]
        for rows in measured["skewed"]
    ]
    return table(head, rows)


def document() -> str:
    """docs/retraining.md with its tables renewed; the prose between them stays."""
    measured = json.loads(MEASURED.read_text("utf-8"))
    text = DOCUMENT.read_text("utf-8")
    for name, block in {"year": year, "gains": gains, "checks": checks}.items():
        mark = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(
            mark, lambda match, block=block: f"{match[1]}{block(measured)}\n{match[2]}", text, flags=re.DOTALL
        )
    return text


if __name__ == "__main__":
    sys.exit(write_or_check({DOCUMENT: document()}))
