"""Disturbances of the disk: it fills up in the middle of a run, or bits of the cache turn."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.chaos.place import WEIGHTS, Room
from tests.chaos.trial import Trial

#: Sizes between what the first files need and what a whole run does (bytes).
SMALLEST, LARGEST = 64 * 1024, 6 * 1024 * 1024


def full_disk(trial: Trial) -> None:
    """Run in a small file system that fills up; then give it room."""
    size = trial.chance.randint(SMALLEST, LARGEST)
    trial.done.append(f"{size // 1024} KiB of disk")
    with _disk(trial.room.folder / "disk", size) as folder:
        small = replace(trial.room, folder=folder)
        try:
            small.temporary.mkdir()
            ended = small.start(*WEIGHTS, printed_in=trial.room.folder).end()
            trial.check_end(ended)
            trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=False)
        finally:
            subprocess.run(["mount", "-o", f"remount,size={LARGEST * 20}", str(folder)], check=True)
        _last(trial, small)


def small_files(trial: Trial) -> None:
    """Allow only small files, as a quota does; then files of any size."""
    size = int(2 ** trial.chance.uniform(12, 21))
    trial.done.append(f"files of at most {size} bytes")
    ended = trial.room.start(
        *WEIGHTS, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    ).end()
    trial.check_end(ended)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=False)
    _last(trial, trial.room)


def flipped_bits(trial: Trial) -> None:
    """Turn bits in the cache of a finished run, then run from that cache."""
    reference = trial.place.reference(*WEIGHTS)
    shutil.copytree(reference.folder.parent / ".bt-cache", trial.room.cache)
    files = sorted(path for path in trial.room.cache.rglob("*") if path.is_file() and path.stat().st_size)
    for _ in range(trial.chance.choice([1, 1, 2, 4, 32])):
        path = trial.chance.choice(files)
        position = trial.chance.randrange(path.stat().st_size)
        trial.done.append(f"{path.relative_to(trial.room.cache)} at {position}")
        with path.open("r+b") as stream:
            stream.seek(position)
            byte = stream.read(1)[0]
            stream.seek(position)
            stream.write(bytes([byte ^ (1 << trial.chance.randrange(8))]))
    _last(trial, trial.room)


def why_no_small_disk() -> str:
    """Why no file system of a chosen size can be mounted here; empty: it can."""
    if os.geteuid() != 0:
        return "only root may mount a small file system"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.stderr.strip()


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _last(trial: Trial, room: Room) -> None:
    ended = room.start(*WEIGHTS).end()
    trial.check_end(ended)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=True)
    replace(trial, room=room).check_room()
