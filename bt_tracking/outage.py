"""What the tasks of a run on this machine know of each other's attempts to reach MLflow.

When a stage has waited for MLflow in vain, a file in the run's folder says so. Later stages then ask only briefly, and
the first one that gets an answer deletes the file.
"""

import os
from contextlib import suppress
from pathlib import Path

from bt_tracking.settings import FOLDER_VARIABLE

#: The file, and the seconds that a stage waits while it is there.
OUTAGE_FILE = ".mlflow-outage"
BRIEFLY = 3.0


class Outage:
    """The knowledge of a run about MLflow; of none where the run has no folder."""

    def __init__(self, folder: str | None) -> None:
        self._file = Path(folder, OUTAGE_FILE) if folder else None

    def patience(self, seconds: float) -> float:
        """How long to wait, for a stage that would wait for so long."""
        return min(seconds, BRIEFLY) if self._file and self._file.exists() else seconds

    def begin(self) -> None:
        """Note that MLflow did not answer."""
        if self._file:
            with suppress(OSError):  # without the file, every stage waits its whole time
                self._file.touch()

    def end(self) -> None:
        """Note that MLflow has answered, or that a stage has to wait its whole time."""
        if self._file:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)


def wait_patiently() -> None:
    """Have the next stage wait its whole time, although an earlier one has waited in vain."""
    Outage(os.environ.get(FOLDER_VARIABLE)).end()
