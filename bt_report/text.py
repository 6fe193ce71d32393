"""How a report writes numbers, and texts that come from users."""

import json
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from bt_core.formats.winner import WinnerPredictor
from bt_core.trust import shown_text

#: Longer prompts, demos and answers are cut, so that a report stays small.
LONGEST_TEXT = 1500

_BACKTICKS = re.compile(r"`+")


def score(value: float) -> str:
    """A score in [0, 1]: `0.727`."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """A difference, with a true minus sign: `+0.400`, `−0.012`."""
    return f"{value:+z.3f}".replace("-", "−")


def count(value: float) -> str:
    """A count or a mean of counts: `72,030`."""
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """A count in little space: `950`, `72k`, `1.5M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"


def duration(seconds: float) -> str:
    """`4.2 s`, `58 s`, `4 min 4 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def percent(value: float) -> str:
    """A share: 0.95 is `95 %`."""
    return f"{100 * value:.4g}\u00a0%"


def compact(name: str, longest: int = 22) -> str:
    """A strategy's name for a plot, such as `p→w→p`; the middle of a long name is left out."""
    short = re.sub(r"\s*->\s*", "→", name)
    half = (longest - 1) // 2
    return short if len(short) <= longest else f"{short[:half]}…{short[-half:]}"


def shown(value: Any) -> str:
    """A JSON value for a reader: text as it is, anything else as JSON; long values are cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    over = len(text) - LONGEST_TEXT
    return text if over <= 0 else f"{text[:LONGEST_TEXT]} … ({over:,} more characters)"


def pretty(value: Any) -> str:
    """A JSON value over several lines, in full."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def demo_fields(demo: Mapping[str, Any], predictor: WinnerPredictor) -> dict[str, Any]:
    """A demo in the order in which its predictor's prompt has the fields: inputs, outputs, anything else."""
    names = [field.name for field in (*predictor.inputs, *predictor.outputs)]
    return {name: demo[name] for name in (*names, *demo) if name in demo}


def spans(sentence: str) -> list[tuple[str, bool]]:
    """Split a sentence at backticks into (text, whether it stood between two)."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return [(sentence, False)]
    return [(part, bool(index % 2)) for index, part in enumerate(parts) if part]


def markdown(value: Any) -> Markup:
    """Escape for Markdown, in a line or a table's cell, so that nothing is taken for markup, HTML or a new line."""
    return value if isinstance(value, Markup) else Markup(shown_text.markdown(str(value)))


def markdown_sentence(sentence: str) -> Markup:
    """Escape for Markdown, but keep what stands between backticks as code."""
    return Markup("").join(code(part) if is_code else markdown(part) for part, is_code in spans(sentence))


def code(text: str) -> Markup:
    """A Markdown code span that also works in a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    fence = _longer_than_any(line, 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{fence}{pad}{line}{pad}{fence}")


def fenced(text: str, language: str = "text") -> Markup:
    """A Markdown code block that its content cannot end."""
    fence = _longer_than_any(text, 3)
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def _longer_than_any(text: str, least: int) -> str:
    return "`" * max(least, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
