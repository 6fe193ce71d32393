"""Run benchmarks by name, each in a process of its own, then write their tables into docs/benchmarks.md.

`python -m benchmarks` runs all that need no data, `python -m benchmarks engine train` these; options from the first
dash on go to each of them (`python -m benchmarks vs_dspy --quick`). `python -m benchmarks --docs` only writes the
tables again.
"""

import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile

from benchmarks.harness.page import BY_NAME, NAMES, PAGE, page
from benchmarks.harness.record import ROOT


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks named, or all, until one fails; returns the exit status."""
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    options = list(arguments[len(names) :])
    known = (*NAMES, *BY_NAME)
    if unknown := sorted(set(names) - set(known)):
        print(f"benchmarks: no benchmark is called {', '.join(unknown)}: name {', '.join(known)}.", file=sys.stderr)
        return 2
    if options != ["--docs"]:
        for name in names or NAMES:
            print(f"\n== {name}", flush=True)
            command = [sys.executable, "-m", f"benchmarks.{name}", *options]
            if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
                return status
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
