"""Where the command prints: results on stdout, everything else on stderr."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text


def stdout() -> Console:
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_sentence(console: Console, sentence: Text) -> None:
    """Broken between words on a terminal; one line elsewhere, as paths and commands always are."""
    console.print(sentence, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """The one JSON document that `--json` promises on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
