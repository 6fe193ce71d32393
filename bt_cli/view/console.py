"""The consoles of the command: results go to stdout, everything else to stderr."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text


def stdout() -> Console:
    """The console for results."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """The console for progress, warnings and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_sentence(console: Console, sentence: Text) -> None:
    """Print a sentence: wrapped between words on a terminal, on one line elsewhere."""
    console.print(sentence, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """Print the one JSON document that `--json` promises on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
