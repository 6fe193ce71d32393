"""What a command sets up in its own process before it imports the core's heavy parts."""

import os
import sys
import warnings
from pathlib import Path


def find_own_tasks() -> None:
    """Let `package.module:attribute` name a module in the current folder; last, so that it shadows nothing."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def quieten_libraries() -> None:
    """No progress bars and no libraries' notes to their developers, for a command whose output is one answer."""
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported
    warnings.simplefilter("ignore", FutureWarning)
