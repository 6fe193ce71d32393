"""The end of a sweep for a person: its table, its verdict, and where everything lies."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bt_cli.run_folder import SweepFolder
from bt_cli.view.console import print_sentence
from bt_cli.view.summary import print_facts, short
from bt_core.statistics import VANILLA, Word

_STYLES = {Word.WEIGHTS_PAY: "green", Word.PROMPTS_SUFFICE: "green"}


def print_leaderboard(console: Console, sweep: Mapping[str, Any], folder: SweepFolder) -> None:
    """Print what a sweep came to.

    Args:
        console: where to.
        sweep: the content of sweep.json.
        folder: the sweep's folder.
    """
    console.print()
    console.print(_table(sweep))
    verdict = sweep["verdict"]
    style = _STYLES.get(verdict["word"], "yellow")
    print_sentence(console, Text.assemble((verdict["label"], f"bold {style}"), ". ", verdict["sentence"]))
    winner = sweep["winner"]
    made_by = f"{winner['arm']}, seed {winner['seed']}" if winner else "no arm beats vanilla on validation"
    files = {"report": folder.html, "markdown": folder.markdown, "figures": folder.sweep}
    print_facts(
        console,
        {"program": f"{short(folder.program)} ({made_by})"} | {name: short(path) for name, path in files.items()},
    )


def _table(sweep: Mapping[str, Any]) -> Table:
    title = (
        f"{sweep['task']}: {len(sweep['arms'])} arms, {len(sweep['seeds'])} seeds, {sweep['rows']['test']} test rows"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("arm", no_wrap=True)
    for heading in ("val.", "test", "over vanilla", "p (adj.)", "LM\ncalls"):
        table.add_column(heading, justify="right", no_wrap=True)
    vanilla = sweep["vanilla"]
    lines = [(arm["mean"], _cells(arm)) for arm in sweep["arms"]]
    bare = (VANILLA, "", f"{vanilla['mean']:.3f}", "", "", "")
    lines.append((vanilla["mean"], bare))
    for _, cells in sorted(lines, key=lambda line: -line[0]):
        table.add_row(*cells)
    return table


def _cells(arm: Mapping[str, Any]) -> tuple[str, ...]:
    gain = arm["versus_vanilla"]
    return (
        arm["name"],
        f"{arm['validation']:.3f}",
        f"{arm['mean']:.3f}",
        f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})",
        "< 0.001" if gain["adjusted"] < 0.001 else f"{gain['adjusted']:.3f}",
        f"{arm['cost']['lm_calls']:,.0f}",
    )
