"""Damaged files: a reader refuses them with an error of ours, and what it accepts can be written again.

`make fuzz` gives the readers `N` inputs together, other ones in every run; the tests give a few hundred to each, and
always the same.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from bt_core.errors import BtError
from tests.adapter_files import adapter_files
from tests.fuzz.readers import READERS, Reader

#: Inputs of all readers together in a long run; none: a short one.
LONG = int(os.environ.get("BT_FUZZ", "0"))
SHORT = 200


def _inputs(reader: Reader) -> int:
    if not LONG:
        return max(20, round(SHORT * reader.weight))
    return -(-round(LONG * reader.weight) // round(sum(other.weight for other in READERS)))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_ends_in_an_error_of_ours(reader: Reader, tmp_path: Path) -> None:
    adapter_files(tmp_path / "peft")
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=_inputs(reader),
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=reader.inputs)
    def check(content: bytes) -> None:
        outcome, sentence = _outcome(reader, tmp_path, content)
        assert len(sentence) < 4000
        outcomes[outcome] += 1

    check()
    print(f"{reader.name}: {outcomes.total()} inputs, {dict(outcomes.most_common())}")
    if not LONG:
        assert len(outcomes) > 1, "the inputs are neither all valid nor all refused"


def _outcome(reader: Reader, folder: Path, content: bytes) -> tuple[str, str]:
    """Whether the file was accepted, or by which error of ours and with which sentence it was refused."""
    try:
        reader.read(folder, content)
    except BtError as error:
        return type(error).__name__, str(error)
    return "accepted", ""
