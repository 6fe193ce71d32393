"""Disturb runs in every way that we know, for as long as you like, and count what does not come back.

`python -m tests.chaos --minutes 60 --seed 1` tries all kinds in turn; `--only kill-all,full-disk` tries these;
`--trial 17` repeats one trial of that seed. The exit status is 1 when anything was found.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.chaos.kills import POLITE
from tests.chaos.kinds import KINDS, trials
from tests.chaos.place import Place
from tests.chaos.trial import FAULTS, Trial


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials until the time is over; returns the exit status."""
    options = _options(arguments)
    for number in POLITE:  # `nohup`, and a shell that starts this in the background, leave them ignored, to `bt` too
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"The folder of all trials is {options.folder}.", markup=False)
    kinds = [kind for kind in KINDS if not options.only or kind.name in options.only.split(",")]
    for kind in kinds:
        if reason := kind.missing():
            console.print(f"{kind.name} is not tried: {reason}.", markup=False)
    done: list[Trial] = []
    begun, seconds = time.monotonic(), options.minutes * 60
    with ExitStack() as servers, Progress(console=console) as progress:
        task = progress.add_task("trials", total=seconds)
        place = Place(Path(options.folder), servers)
        for trial in trials(place, [kind for kind in kinds if not kind.missing()], options.seed, options.trial):
            done.append(trial)
            for fault, detail in trial.faults:
                progress.console.print(
                    f"trial {trial.number} ({trial.kind}: {', '.join(trial.done)}): {FAULTS[fault]}: {detail}",
                    markup=False,
                )
            progress.update(task, completed=time.monotonic() - begun, description=f"{len(done)} trials")
            if options.trial is not None or time.monotonic() - begun > seconds:
                break
    print_table(done)
    if options.out:
        Path(options.out).write_text(json.dumps(_counts(done), indent=1) + "\n", encoding="utf-8")
    return int(any(trial.faults for trial in done))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to go on (the last trial is ended)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed tries the same things, at the same moments")
    parser.add_argument("--only", default="", help=f"kinds, with commas: {', '.join(kind.name for kind in KINDS)}")
    parser.add_argument("--trial", type=int, help="repeat the trial of this number alone")
    parser.add_argument("--out", default="", help="write the counts to this JSON file")
    parser.add_argument("--folder", default="", help="where to work; by default a new temporary folder, which stays")
    options = parser.parse_args(arguments)
    options.folder = options.folder or tempfile.mkdtemp(prefix="bt-chaos-")
    return options


def _counts(done: Sequence[Trial]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for trial in done:
        row = counts.setdefault(trial.kind, dict.fromkeys(("trials", *FAULTS), 0))
        row["trials"] += 1
        for fault in {fault for fault, _ in trial.faults}:
            row[fault] += 1
    return counts


def print_table(done: Sequence[Trial]) -> None:
    """Print how many trials of each kind had which fault; a file gets lines of 120 letters."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    console.print(_table(done))


def _table(done: Sequence[Trial]) -> Table:
    table = Table(title="Trials in which something was wrong", show_footer=True)
    counts = _counts(done)
    table.add_column("kind", footer="all")
    for name in ("trials", *FAULTS):
        table.add_column(name, str(sum(row[name] for row in counts.values())), justify="right")
    for kind in sorted(counts):
        table.add_row(kind, *map(str, counts[kind].values()))
    return table


if __name__ == "__main__":
    sys.exit(main())
