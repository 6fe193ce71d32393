"""The end of a sweep as shown in the terminal: its table, its verdict, its program, and where the files are."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bt_cli.run_folder import SweepFolder
from bt_cli.view.console import print_sentence
from bt_cli.view.summary import print_facts, short
from bt_core.formats.arms import ArmScores
from bt_core.formats.sweep import Sweep
from bt_core.statistics import VANILLA, Word
from bt_core.wording import p_value, signed_range

_STYLES = {Word.WEIGHTS_PAY.value: "green", Word.PROMPTS_SUFFICE.value: "green"}


def print_leaderboard(console: Console, sweep: Sweep, folder: SweepFolder) -> None:
    """Print the table of a sweep, its verdict, what the shipped program scores by itself, and the files.

    Args:
        console: where to print.
        sweep: the sweep's figures.
        folder: the sweep's folder.
    """
    console.print()
    console.print(_table(sweep))
    verdict = sweep.verdict
    style = _STYLES.get(verdict.word, "yellow")
    print_sentence(console, Text.assemble((verdict.label, f"bold {style}"), ". ", verdict.sentence))
    if sweep.shipped:
        print_sentence(console, Text(sweep.shipped))
    winner = sweep.winner
    made_by = f"{winner.arm}, seed {winner.seed}" if winner else "no arm beats vanilla on validation"
    files = {"report": folder.html, "markdown": folder.markdown, "figures": folder.sweep}
    print_facts(
        console,
        {"program": f"{short(folder.program)} ({made_by})"} | {name: short(path) for name, path in files.items()},
    )


def _table(sweep: Sweep) -> Table:
    title = f"{sweep.task}: {len(sweep.arms)} arms, {len(sweep.seeds)} seeds, {sweep.rows.test} test rows"
    table = Table(title=title, title_justify="left")
    table.add_column("arm", no_wrap=True)
    for heading in ("val.", "test", "over vanilla", "p (adj.)", "LM\ncalls"):
        table.add_column(heading, justify="right", no_wrap=True)
    lines = [(arm.mean, _cells(arm)) for arm in sweep.arms]
    lines.append((sweep.vanilla.mean, (VANILLA, "", f"{sweep.vanilla.mean:.3f}", "", "", "")))
    for _, cells in sorted(lines, key=lambda line: -line[0]):
        table.add_row(*cells)
    return table


def _cells(arm: ArmScores) -> tuple[str, ...]:
    gain = arm.versus_vanilla
    return (
        arm.name,
        f"{arm.validation:.3f}",
        f"{arm.mean:.3f}",
        f"{gain.mean:+.3f} ({signed_range(gain)})" if gain else "",
        p_value(gain.adjusted) if gain and gain.adjusted is not None else "",
        f"{arm.cost.lm_calls:,.0f}",
    )
