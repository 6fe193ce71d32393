"""A disk that is full ends a command with one sentence."""

from tests.cli.conftest import Bt


def test_a_full_disk_is_one_sentence(bt: Bt) -> None:
    ended = bt("compile", "--task", "iris", "--strategy", "p", "-o", "/dev/full")
    assert ended.status == 1
    assert ended.sentence == (
        "A file cannot be written (No space left on device): make room, then run the command again."
    )
