"""`bt show`: show a program directory."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.view.console import print_json, stdout
from bt_core.program import Field, LineageStep, PredictorState, Program, program_sha256, read_program


def show(
    program: options.Program,
    as_json: options.Json = False,
) -> None:
    """Show a program's prompts, demos, adapter and lineage.

    Example: bt show runs/my-run/program
    """
    from bt_core.bundle import fetch

    folder = fetch(program)
    state = read_program(folder)
    sha256 = program_sha256(folder)
    if as_json:
        print_json({"sha256": sha256, **asdict(state)})
        return
    console = stdout()
    console.print(_head(state, sha256, folder))
    for name, predictor in state.predictors.items():
        console.print(_predictor(name, predictor))
    _print_lineage(console, state.lineage)


def _head(program: Program, sha256: str, folder: Path) -> Table:
    table = _facts()
    table.add_row("task", program.task)
    table.add_row("model", f"{program.model} (revision {program.model_revision[:12]})")
    if program.decoding:
        table.add_row("decoding", Text(", ".join(f"{key} {value}" for key, value in program.decoding.items())))
    table.add_row("folder", str(folder))
    table.add_row("sha256", sha256)
    return table


def _facts() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _predictor(name: str, state: PredictorState) -> Panel:
    facts = _facts()
    facts.add_row("inputs", _fields(state.inputs))
    facts.add_row("outputs", _fields(state.outputs))
    facts.add_row("instructions", Text(state.instructions))
    facts.add_row("adapter", f"{state.adapter.path} (sha256 {state.adapter.sha256[:12]})" if state.adapter else "none")
    if state.label_prior:
        prior = ", ".join(f"{label} {value:.2f}" for label, value in state.label_prior.items())
        facts.add_row("label prior", Text(prior))
    facts.add_row("demos", _demos(state) if state.demos else "none")
    return Panel(facts, title=Text(name), title_align="left")


def _fields(fields: tuple[Field, ...]) -> Text:
    return Text(", ".join(map(_field, fields)))


def _field(field: Field) -> str:
    is_described = field.description not in ("", f"${{{field.name}}}")  # DSPy's placeholder is no description
    return f"{field.name}: {field.type}" + (f" ({field.description})" if is_described else "")


def _demos(state: PredictorState) -> Table:
    used = {name for demo in state.demos for name in demo}
    names = [field.name for field in (*state.inputs, *state.outputs) if field.name in used]
    names += sorted(used.difference(names))
    table = Table()
    for name in names:
        table.add_column(Text(name))
    for demo in state.demos:
        table.add_row(*(Text(_cell(demo.get(name, ""))) for name in names))
    return table


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _print_lineage(console: Console, lineage: tuple[LineageStep, ...]) -> None:
    if not lineage:
        console.print("No step has changed this program: its prompts are the task's own.")
        return
    table = Table("stage", "kind", "seed", "validation", "made from", "outcome", title="Lineage", title_justify="left")
    for step in lineage:
        table.add_row(step.stage, step.kind, str(step.seed), _scores(step), step.parent[:12], Text(step.outcome))
    console.print(table)


def _scores(step: LineageStep) -> str:
    before, after = (f"{score:.3f}" if score is not None else "?" for score in (step.val_before, step.val_after))
    return "not measured" if before == after == "?" else f"{before} -> {after}"
