"""Settings of a command's own process, to be made before it imports the heavy parts of the core."""

import os
import warnings

from bt_core.progress import OFF, VARIABLE


def quieten_libraries() -> None:
    """Switch off progress, of ours and of libraries, and the warnings that libraries address to developers."""
    os.environ[VARIABLE] = OFF
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported
    warnings.simplefilter("ignore", FutureWarning)
