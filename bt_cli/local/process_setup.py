"""What a command sets up in its own process before it imports the core's heavy parts."""

import os
import warnings


def quieten_libraries() -> None:
    """No progress bars and no libraries' notes to their developers, for a command whose output is one answer."""
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported
    warnings.simplefilter("ignore", FutureWarning)
