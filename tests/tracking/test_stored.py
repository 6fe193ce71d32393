"""What earlier retrainings left in MLflow is read strictly, since people can change it there."""

from dataclasses import asdict
from typing import Any

import pytest

from bt_core.errors import TrackingError
from bt_core.records import canonical_json
from bt_core.statistics.promotion import Night
from bt_tracking.retraining.champion import Champion
from bt_tracking.retraining.stored import stored

NIGHT = Night((0.5, -0.25), 0.0, 20, 0.125)


def test_what_was_written_is_read() -> None:
    assert stored(Night, canonical_json(asdict(NIGHT)), "The tag") == NIGHT
    assert stored(dict[str, str], b'{"a": "test"}', "The file") == {"a": "test"}
    champion = Champion(2, 3, {"outcome": "promoted"})
    assert Champion.load(champion.dump()) == champion
    assert Champion.load("") is None


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (Night, "{", "Expecting property name"),
        (Night, '{"growth": [0.5], "margin": 0, "units": 20}', "`difference` is missing"),
        (Night, '{"growth": [NaN], "margin": 0, "units": 20, "difference": 0}', "NaN is no JSON number"),
        (Night, '{"growth": 1, "margin": 0, "units": 20, "difference": 0}', "`growth` is 1"),
        (Champion, '{"version": "2", "term": 3, "tags": {}}', "`version` is '2'"),
        (dict[str, str], '{"a": 1}', "`a` is 1"),
        (dict[str, str], '{"a": "x", "a": "y"}', "the key 'a' is there twice"),
        (dict[str, str], "[" * 5000, "nested more than 100 levels"),
    ],
)
def test_what_was_changed_is_one_sentence(kind: Any, text: str, reason: str) -> None:
    with pytest.raises(TrackingError, match=reason) as caught:
        stored(kind, text, "The tag `bt.concluded` of the run 1")
    assert str(caught.value).startswith("The tag `bt.concluded` of the run 1 is not what a retraining has written (")
    assert str(caught.value).endswith("): correct it in MLflow, or delete it.")
