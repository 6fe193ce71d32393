"""Write generated files, or say which are out of date: the command line that the scripts beside this one share."""

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def write_or_check(documents: Mapping[Path, str]) -> int:
    """Bring the files up to date; with `--check` on the command line, only report which are out of date and fail.

    Args:
        documents: every generated file and what it should hold.
    """
    stale = [path for path, text in documents.items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make docs`.", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        path.write_text(documents[path], encoding="utf-8")
        print(f"Wrote {path.relative_to(ROOT)}.")
    return 0
