"""Fill the templates."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from bt_core import wording
from bt_core.formats.run_result import RunResult
from bt_core.formats.sweep import Sweep
from bt_core.formats.winner import ChangedAnswers, WinnerPredictor
from bt_core.program import Program
from bt_report import text
from bt_report.run import RunReport
from bt_report.view import Report

_FILTERS = (
    text.score,
    text.signed,
    wording.p_value,
    text.count,
    text.short_count,
    text.duration,
    text.percent,
    text.compact,
    text.shown,
    text.pretty,
    text.demo_fields,
    text.spans,
)
_MARKDOWN_FILTERS = (text.markdown_sentence, text.code, text.fenced)


def render_html(sweep: Sweep) -> str:
    """The report as one HTML page without scripts, which loads nothing: its styles and plots are in it."""
    return _environment().get_template("report.html.j2").render(report=Report(sweep))


def render_markdown(sweep: Sweep) -> str:
    """The report as Markdown, with the same figures and words but without the plots."""
    environment = _environment()
    # Everything that a template prints passes through this first, so that nothing is left unescaped.
    environment.finalize = text.markdown
    environment.filters |= {function.__name__: function for function in _MARKDOWN_FILTERS}
    return environment.get_template("report.md.j2").render(report=Report(sweep))


def render_run(result: RunResult, changed: ChangedAnswers, program: Program, inputs: Sequence[str]) -> str:
    """The result of a single run as one HTML page of the same kind.

    Args:
        result: the run's result.json, with an evaluation.
        changed: the test rows whose score changed.
        program: the shipped program.
        inputs: the task's inputs.

    Raises:
        ValueError: when the run has no evaluation.
    """
    if result.test is None:
        raise ValueError("the run has no evaluation")
    predictors = {name: WinnerPredictor.model_validate(state) for name, state in program.predictors.items()}
    report = RunReport(result, result.test, changed, predictors, inputs)
    return _environment().get_template("run.html.j2").render(report=report)


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
