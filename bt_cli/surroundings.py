"""Where a user's own task is found: installed packages, and the folder that `bt` was started in."""

import sys
from pathlib import Path


def find_own_tasks() -> None:
    """Let `package.module:attribute` name a module in the current folder; last, so that it shadows nothing."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
