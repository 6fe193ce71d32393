"""The end of `bt sweep` on the screen."""

from pathlib import Path

from rich.console import Console

from bt_cli.run_folder import SweepFolder
from bt_cli.view.leaderboard import print_leaderboard
from tests.report.sweeps import as_sweep, odd, ordinary


def _printed(content: dict[str, object]) -> list[str]:
    console = Console(width=200, record=True, soft_wrap=True)
    print_leaderboard(console, as_sweep(content), SweepFolder(Path("sweep")))
    return console.export_text().splitlines()


def test_the_shipped_program_has_a_line_of_its_own_below_the_verdict() -> None:
    sweep = as_sweep(ordinary())
    lines = _printed(ordinary())
    verdict = next(number for number, line in enumerate(lines) if sweep.verdict.sentence in line)
    assert lines[verdict + 1] == sweep.shipped
    assert sweep.winner
    assert f"scores {sweep.winner.score:.3f} by itself" in lines[verdict + 1]


def test_where_vanilla_stays_there_is_no_such_line() -> None:
    lines = _printed(odd())
    assert not [line for line in lines if line.startswith("The shipped program")]
    assert any("no arm beats vanilla on validation" in line for line in lines)
