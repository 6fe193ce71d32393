"""All kinds of disturbances, and the order in which they are tried."""

import random
import shutil
from collections.abc import Iterator, Sequence
from itertools import count

from tests.chaos import disk, endpoint, kills, servers, together
from tests.chaos.place import Place
from tests.chaos.trial import Kind, Trial

KINDS = (
    Kind("kill-all", kills.kill_all),
    Kind("kill-one", kills.kill_one),
    Kind("signal", kills.ask_to_end),
    Kind("endpoint-faults", endpoint.faulty_answers),
    Kind("endpoint-dies", endpoint.endpoint_that_dies),
    Kind("mlflow-restarts", servers.mlflow_restarts),
    Kind("s3-fails", servers.s3_fails, servers.why_no_s3),
    Kind("full-disk", disk.full_disk, disk.why_no_small_disk),
    Kind("small-files", disk.small_files),
    Kind("flipped-bits", disk.flipped_bits),
    Kind("one-store", together.one_store),
    Kind("one-folder", together.one_folder),
)


def trials(place: Place, kinds: Sequence[Kind], seed: int, only: int | None = None) -> Iterator[Trial]:
    """Trials without end, each after it is over; each has a generator of its own, so that one can be repeated alone.

    The folder of a trial in which nothing was wrong is deleted.

    Args:
        place: where they take place.
        kinds: what to try, in turn.
        seed: of all generators.
        only: the number of the one trial to do.
    """
    for number in count() if only is None else [only]:
        kind = kinds[number % len(kinds)]
        room = place.room(f"trial-{number}-{kind.name}")
        trial = Trial(number, kind.name, room, random.Random(f"{seed}/{number}"))
        kind.disturb(trial)
        if not trial.faults:
            shutil.rmtree(room.folder)
        yield trial
