"""Several runs at once: with one cache and one MLflow store, or into one folder."""

from tests.chaos.place import WEIGHTS
from tests.chaos.trial import Trial


def one_store(trial: Trial) -> None:
    """Two to four runs at once, some with the same seed, share a cache and an MLflow store."""
    seeds = [str(trial.chance.randint(0, 2)) for _ in range(trial.chance.randint(2, 4))]
    trial.done.append(f"seeds {', '.join(seeds)} at once")
    runs = [(seed, trial.room.start(*WEIGHTS, "--seed", seed)) for seed in seeds]
    for seed, run in runs:
        ended = run.end()
        trial.check_end(ended)
        trial.check_result(ended, trial.place.reference(*WEIGHTS, "--seed", seed), is_last=True)
    trial.check_room()


def one_folder(trial: Trial) -> None:
    """Two runs of different seeds into one folder: one has it, and the other is refused."""
    seeds = trial.chance.sample(["0", "1", "2"], 2)
    trial.done.append(f"seeds {seeds[0]} and {seeds[1]} into one folder")
    runs = [(seed, trial.room.start(*WEIGHTS, "--seed", seed, out="same")) for seed in seeds]
    ended = [(seed, run.end()) for seed, run in runs]
    well = [(seed, end) for seed, end in ended if end.status == 0]
    if len(well) != 1:
        trial.faults.append(("wrong", f"{len(well)} of 2 runs into one folder ended well"))
    for _, end in ended:
        trial.check_end(end)
    for seed, end in well:
        trial.check_result(end, trial.place.reference(*WEIGHTS, "--seed", seed), is_last=True)
    trial.check_room()
