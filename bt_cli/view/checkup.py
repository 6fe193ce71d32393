"""The output of `bt check`: every prompt and answer of three rows, the findings, and the cost of each strategy."""

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bt_core.steps.check.report import CheckReport, LmCall, RowRun

#: Colours of the roles in a prompt.
_ROLES = {"system": "cyan", "user": "green", "assistant": "magenta"}
_MARKS = {"mistake": ("✗", "bold red"), "warning": ("!", "bold yellow"), "note": ("i", "cyan")}


def print_checkup(console: Console, report: CheckReport) -> None:
    """Print a report for a person."""
    names = ", ".join(report.predictors)
    console.print(Text(f"{report.task} on {report.model}; predictors: {names}", style="bold"))
    for number, run in enumerate(report.runs, start=1):
        console.print(Rule(Text(f"row {number} of {len(report.runs)}"), align="left"))
        for asked in run.asked:
            console.print(_call(asked))
        console.print(_end(run))
    console.print(Rule(Text("what was found"), align="left"))
    console.print(_findings(report))
    if report.costs:
        console.print(_costs(report))


def _call(asked: LmCall) -> Panel:
    lines = Text(no_wrap=False, overflow="fold")
    for message in asked.prompt:
        lines.append(f"{message.role} ", style=_ROLES.get(message.role, "bold"))
        lines.append(f"{message.content.strip()}\n")
    lines.append("=> ", style="bold")
    lines.append(asked.completion.strip() or "(nothing)", style="bold")
    if asked.error:
        lines.append(f"\n{asked.error}", style="red")
    kind = "closed answer" if asked.closed else f"{asked.completion_tokens} tokens{', cut' if asked.cut else ''}"
    cost = f"{asked.prompt_tokens} prompt tokens, {kind}, {asked.seconds:.1f} s"
    name = Text(asked.predictor or "made inside forward", style="bold")
    return Panel(lines, title=name, title_align="left", subtitle=Text(cost, style="dim"), subtitle_align="right")


def _end(run: RowRun) -> Group:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("row", Text(", ".join(f"{name}={value!r}" for name, value in run.row.items())))
    facts.add_row("prediction", Text(", ".join(f"{name}={value!r}" for name, value in run.trace.prediction.items())))
    facts.add_row("metric", Text(f"{run.trace.score:g}", style="green" if run.trace.score else "red"))
    if run.trace.feedback:
        facts.add_row("feedback", Text(run.trace.feedback_text))
    if run.trace.error:
        facts.add_row("failed", Text(run.trace.error, style="red"))
    facts.add_row("LM time", f"{run.seconds:.1f} s (the rows run side by side)")
    return Group(facts, Text())


def _findings(report: CheckReport) -> Table:
    table = Table.grid(padding=(0, 1))
    for finding in report.findings:
        mark, style = _MARKS[finding.severity]
        table.add_row(Text(mark, style=style), Text(finding.sentence))
    if all(finding.severity == "note" for finding in report.findings):
        table.add_row(Text("✓", style="bold green"), Text("none of the usual mistakes"))
    return table


def _costs(report: CheckReport) -> Group:
    sizes = " / ".join(str(report.rows[name]) for name in ("train", "val", "test"))
    table = Table(
        "strategy",
        title=f"What it costs at most, with {sizes} rows on {report.model}",
        title_justify="left",
        title_style="bold",
    )
    for name in ("program runs", "LM calls", "prompt tokens", "completion tokens", "tokens trained on"):
        table.add_column(name, justify="right")
    for cost in report.costs:
        numbers = (cost.runs, cost.lm_calls, cost.prompt_tokens, cost.completion_tokens, cost.train_tokens)
        table.add_row(cost.strategy, *(f"{number:,}" for number in numbers))
    note = "Estimated from these rows: docs/your-own-task.md has the formula, and why a run costs less."
    return Group(Text(), table, Text(note, style="dim"))
