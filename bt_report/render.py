"""Fill the templates."""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bt_core.errors import DataError
from bt_report import text
from bt_report.view import Report

#: The version of sweep.json that is read.
SCHEMA = 1
#: What it always has.
_PARTS = {
    *("alpha", "arms", "changed", "command", "config", "cost", "data_seed", "description", "margin", "metric"),
    *("model", "model_revision", "nodes", "rows", "seeds", "task", "vanilla", "verdict", "winner"),
}

_FILTERS = (
    text.score,
    text.signed,
    text.p_value,
    text.count,
    text.short_count,
    text.duration,
    text.percent,
    text.compact,
    text.shown,
    text.pretty,
    text.field_name,
    text.demo_fields,
    text.spans,
)
_MARKDOWN_FILTERS = (text.markdown_sentence, text.code, text.fenced)


def render_html(sweep: Mapping[str, Any]) -> str:
    """One HTML page without scripts, and with nothing to load: styles and plots are in it.

    Args:
        sweep: the content of sweep.json (docs/formats.md).

    Raises:
        DataError: when it is of another schema, or parts are missing.
    """
    return _environment().get_template("report.html.j2").render(report=_report(sweep))


def render_markdown(sweep: Mapping[str, Any]) -> str:
    """The same figures and words as Markdown, without the plots.

    Args:
        sweep: the content of sweep.json (docs/formats.md).

    Raises:
        DataError: when it is of another schema, or parts are missing.
    """
    environment = _environment()
    # Whatever a template puts out passes through this first, so that nothing can be left unescaped.
    environment.finalize = text.markdown
    environment.filters |= {function.__name__: function for function in _MARKDOWN_FILTERS}
    return environment.get_template("report.md.j2").render(report=_report(sweep))


def _report(sweep: Mapping[str, Any]) -> Report:
    if not isinstance(sweep, Mapping):
        raise DataError(f"The sweep is a {type(sweep).__name__}, not an object: name a sweep.json that a sweep wrote.")
    if sweep.get("schema") != SCHEMA:
        raise DataError(
            f"The sweep has schema {sweep.get('schema')!r}, and reports are made from schema {SCHEMA}: "
            "run the sweep again with this version."
        )
    if missing := _PARTS - sweep.keys():
        raise DataError(f"The sweep has no {', '.join(sorted(missing))}: name a sweep.json as a sweep wrote it, whole.")
    return Report(json.loads(json.dumps(sweep)))  # keys are text and sequences are lists, as in the file


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bt_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in _FILTERS}
    return environment
