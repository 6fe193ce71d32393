"""One node of a TrainJob: `python -m bt_core.engine.training.node PROCESSES EXCHANGE` starts torch's launcher.

A failure that a worker has left in the exchange folder ends the node with status 0: the step reads it there, and with
another status Kubernetes would begin the node again, to fail in the same way. What left no failure keeps its status.
"""

import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as launch

from bt_core.engine.training.processes import FAILURE, launch_arguments
from bt_core.errors import TrainingError, one_sentence
from bt_core.shared_files import share_with_group
from bt_core.storage import Store, is_remote, under


def main(exchange: str, processes: int) -> int:
    """Run the workers of this node; returns the exit status.

    Raises:
        TrainingError: when one of them was killed.
    """
    if _has_failed(exchange):  # on another node, before this one was begun again
        return 0
    try:
        launch(launch_arguments(exchange, processes))
    except ChildFailedError as error:
        if _has_failed(exchange):
            return 0
        _, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise TrainingError(
                f"A training process was ended by the signal {-failure.exitcode}, as with 9 when memory runs out."
            ) from None
        return int(failure.exitcode)
    finally:
        if not is_remote(exchange):
            share_with_group(Path(exchange))
    return 0


def _has_failed(exchange: str) -> bool:
    """Whether a worker of any node has left a failure."""
    if is_remote(exchange):
        return bool(Store().list(under(exchange, f"{FAILURE}-")))
    return any(Path(exchange).glob(f"{FAILURE}-*.json"))


if __name__ == "__main__":
    with one_sentence():
        sys.exit(main(sys.argv[2], int(sys.argv[1])))
