"""A file of traces is read strictly, and the sentence about a wrong line names its row and key."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bt_core.errors import DataError
from bt_core.formats.traces import read_traces
from bt_core.records import Call, Trace

TRACE = asdict(Trace("e", 0.5, (Call("paint", {"thing": "sky"}, {"colour": "blue"}, {"blue": -0.5}),)))


def _refused(folder: Path, line: str) -> str:
    path = folder / "traces.jsonl"
    path.write_text(f"{json.dumps(TRACE)}\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_traces(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}, row 2: not a trace (")
    return sentence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": 7}, "`score` is 7 and should be less than or equal to 1"),
        ({"score": -1}, "`score` is -1 and should be greater than or equal to 0"),
        ({"score": True}, "`score` is True and should be a valid number"),
        ({"score": "1"}, "`score` is '1' and should be a valid number"),
        ({"attempt": -1}, "`attempt` is -1 and"),
        ({"calls": [{"predictor": "paint", "inputs": {}}]}, "`calls.0.outputs` is missing"),
        ({"calls": [{"predictor": 5, "inputs": {}, "outputs": {}}]}, "`calls.0.predictor` is 5 and"),
        ({"colour": "red"}, "`colour` is unknown"),
    ],
    ids=["above-1", "below-0", "true", "text", "attempt", "missing", "predictor", "unknown"],
)
def test_a_wrong_trace_is_refused_with_its_row_and_key(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    assert reason in _refused(tmp_path, json.dumps(TRACE | change))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"example": "e", "score": NaN}', "broken JSON: NaN is no JSON number"),
        ('{"example": "e", "score": 0.5, "score": 1.0}', "broken JSON: the key 'score' is there twice"),
        ('{"example": "\\ud83d", "score": 0.5}', "broken JSON: it has half a surrogate pair"),
        ('{"example": "e", "score": 0.5, "prediction": {"a": %s}}' % ("[" * 3000 + "]" * 3000), "nested more than 100"),
        ('{"example": "e", "score": %s}' % ("9" * 5000), "has more than 300 digits"),
    ],
    ids=["nan", "key-twice", "half-a-surrogate-pair", "deep", "digits"],
)  # fmt: skip
def test_a_line_that_is_no_json_is_refused_with_its_row(line: str, reason: str, tmp_path: Path) -> None:
    assert reason in _refused(tmp_path, line)
