"""The consoles of the command: results go to stdout, everything else to stderr."""

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from bt_core.trust.shown_text import json_visible, visible


class PlainConsole(Console):
    """A console that takes texts as they are: it neither obeys their control characters nor reads markup in them.

    Texts come from rows, programs, endpoints and servers, which may be anybody's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed; those of the console itself, such as a moved cursor, stay as they are."""
        if isinstance(renderable, Text) and visible(renderable.plain) != renderable.plain:
            renderable = Text(visible(renderable.plain), renderable.style)  # before it is broken into lines
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def stdout() -> Console:
    """The console for results."""
    return PlainConsole()


def stderr() -> Console:
    """The console for progress, warnings and errors."""
    return PlainConsole(stderr=True)


def print_sentence(console: Console, sentence: Text) -> None:
    """Print a sentence: wrapped between words on a terminal, on one line elsewhere."""
    console.print(sentence, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """Print the one JSON document that `--json` promises on stdout."""
    print(json_visible(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)))
