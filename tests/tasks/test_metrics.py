"""The metrics. The expected values in the tables follow from the rules that the official scripts document."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from bt_core import metrics
from bt_core.errors import ConfigError, WorldError
from tests.tasks.service import Service, serving

#: Prediction, right answer, exact match, F1; HotPotQA's `hotpot_evaluate_v1.py`.
HOTPOTQA = [
    ("Paris", "paris", 1.0, 1.0),
    ("  Paris \n", "Paris", 1.0, 1.0),
    ("The Beatles", "Beatles", 1.0, 1.0),
    ("a an the", "", 1.0, 0.0),  # nothing is left of either: equal, and no word in common
    ("", "", 1.0, 0.0),
    ("", "Paris", 0.0, 0.0),
    ("U.S.A.", "usa", 1.0, 1.0),  # punctuation goes without leaving a space
    ("state-of-the-art", "stateoftheart", 1.0, 1.0),  # so no article is left inside
    ("state of the art", "state of art", 1.0, 1.0),
    ("Theatre", "atre", 0.0, 0.0),  # articles are whole words
    ("Anne", "ne", 0.0, 0.0),
    ("O'Neil's", "ONeils", 1.0, 1.0),
    ("1,234", "1234", 1.0, 1.0),
    ("$5", "5", 1.0, 1.0),
    ("“Paris”", "Paris", 0.0, 0.0),  # quotation marks beyond ASCII are no punctuation there
    ("Malmö", "Malmo", 0.0, 0.0),
    ("New York City", "New York", 0.0, 0.8),
    ("York", "New York", 0.0, 2 / 3),
    ("New York New York", "New York", 0.0, 2 / 3),  # a word counts as often as it stands in both
    ("yes", "Yes.", 1.0, 1.0),
    ("yes", "no", 0.0, 0.0),
    ("yes it is", "yes", 0.0, 0.0),  # yes, no and noanswer are right as a whole or not at all
    ("no", "no man is an island", 0.0, 0.0),
    ("no answer", "noanswer", 0.0, 0.0),
    ("noanswer", "noanswer", 1.0, 1.0),
    ("no way", "no idea", 0.0, 0.5),
]

#: Answer, and what is read out of it: by the paper's rule, as the last number, by the data set's script.
GSM8K = [
    ("72", 72, "72", None),
    ("The answer is 72.", 72, "72", None),
    ("#### 72", 72, "72", "72"),
    ("48 + 24 = 72\n#### 72", 24 + 48, "72", "72"),
    ("#### 1,234", 1234, "1234", "1234"),
    ("1,234,567 people", 1234567, "1234567", None),
    ("$1,234.50", 1234, "1234.50", None),
    ("#### $72", 72, "72", None),  # the script wants a digit or a minus right behind the mark
    ("####72", 72, "72", None),  # and one space before it
    ("#### 72.", 72, "72", "72."),
    ("#### 72.0", 72, "72.0", "72.0"),
    ("#### 5\n#### 6", 5, "6", "5"),  # the script takes the first mark
    ("-5", 5, "-5", None),  # the paper's rule keeps digits alone
    ("#### -5", 5, "-5", "-5"),
    ("-$5", 5, "-5", None),
    ("$-5", 5, "-5", None),
    ("0.75", 0, "0.75", None),
    (".5", 0, "0.5", None),  # nothing stands before the point
    ("3.99 dollars", 3, "3.99", None),
    ("18 dollars", 18, "18", None),
    ("18dollars", 18, "18", None),
    ("50%", 50, "50", None),
    ("3/4", 34, "4", None),
    ("10-12", 1012, "12", None),  # one word; a minus behind a digit is a dash
    ("5 - 3", 3, "3", None),
    ("between 10 and 12 hours", 12, "12", None),
    ("He has 3.\nSo the answer is 4.", 3, "4", None),  # the first line alone
    ("\n\n7\n8", 7, "8", None),  # less empty ones before it
    ("twelve", 0, None, None),
    ("", 0, None, None),
    ("2x = 14", 14, "14", None),
    ("x2", 2, "2", None),
    ("(42)", 42, "42", None),
    ("**42**", 42, "42", None),
]


@pytest.mark.parametrize(("predicted", "right", "exact", "f1"), HOTPOTQA, ids=[str(n) for n in range(len(HOTPOTQA))])
def test_hotpotqa_is_scored_as_by_its_own_script(predicted: str, right: str, exact: float, f1: float) -> None:
    example, prediction = {"answer": right}, SimpleNamespace(answer=predicted)
    assert metrics.exact_match("answer")(example, prediction) == exact
    assert metrics.f1("answer")(example, prediction) == pytest.approx(f1)
    assert metrics.f1_score(right, predicted) == pytest.approx(f1), "F1 is symmetric"


@pytest.mark.parametrize(("text", "first", "last", "marked"), GSM8K, ids=[str(n) for n in range(len(GSM8K))])
def test_numbers_are_read_as_the_three_rules_say(text: str, first: int, last: str | None, marked: str | None) -> None:
    assert metrics.first_line_number(text) == first
    assert metrics.last_number(text) == (None if last is None else Decimal(last))
    assert metrics.marked_number(text) == marked


@pytest.mark.parametrize(
    ("predicted", "right", "paper", "usual", "official"),
    [
        ("72", "Natalia sold 48+24 = <<48+24=72>>72.\n#### 72", 1, 1, 0),
        ("#### 72", "#### 72", 1, 1, 1),
        ("#### 72.0", "#### 72", 1, 1, 0),
        ("#### 1450", "#### 1,450", 1, 1, 1),
        ("$1,450.", "1450", 1, 1, 0),
        ("-5", "5", 1, 0, 0),
        ("#### -5", "#### -5", 1, 1, 1),
        ("3.5", "3", 1, 0, 0),
        ("3.50", "3.5", 1, 1, 0),
        ("I do not know", "0", 1, 0, 0),
        ("5 apples\nTherefore 6", "6", 0, 1, 0),
        ("6 apples\nTherefore 5", "6", 1, 0, 0),
    ],
    ids=[str(n) for n in range(12)],
)
def test_gsm8k_is_scored_by_each_rule(predicted: str, right: str, paper: int, usual: int, official: int) -> None:
    example, prediction = {"answer": right}, SimpleNamespace(answer=predicted)
    found = [
        make("answer")(example, prediction)
        for make in (metrics.gsm8k_first_line, metrics.numeric, metrics.gsm8k_official)
    ]
    assert found == [paper, usual, official]


def test_several_right_answers_and_another_column() -> None:
    prediction = SimpleNamespace(answer="NYC")
    assert metrics.exact_match("answer", "gold")({"gold": ["New York City", "nyc"]}, prediction) == 1.0
    assert metrics.f1("answer", "gold")({"gold": []}, prediction) == 0.0
    assert metrics.numeric("answer", tolerance=0.5)({"answer": 3}, SimpleNamespace(answer="about 3.5")) == 1.0
    assert metrics.numeric("answer", tolerance=0.4)({"answer": 3}, SimpleNamespace(answer="about 3.5")) == 0.0


@pytest.mark.parametrize(
    ("metric", "answer", "right", "score"),
    [
        (metrics.label_accuracy("x"), " Card_Arrival\n", "card_arrival", 1.0),
        (metrics.label_accuracy("x"), "card arrival", "card_arrival", 0.0),
        (metrics.label_accuracy("x"), True, True, 1.0),
        (metrics.regex("x", r"grade: (\w)"), "The grade: B", "B", 1.0),
        (metrics.regex("x", r"grade: (\w)"), "The grade: A", "B", 0.0),
        (metrics.regex("x", r"\d+"), "no digit", "5", 0.0),
        (metrics.regex("x", r"\d+"), "page 5", "5", 1.0),
        (metrics.json_fields("x", ["a", "b"]), '{"a": 1, "b": "2"}', {"a": 1.0, "b": 2}, 0.5),
        (metrics.json_fields("x", ["a"]), "no JSON", '{"a": 1}', 0.0),
        (metrics.json_fields("x", ["a"]), "[1]", '{"a": 1}', 0.0),
        (metrics.json_fields("x", ["a", "b"]), '{"a": [1], "b": null}', '{"a": [1], "b": null}', 1.0),
    ],
    ids=[str(n) for n in range(11)],
)
def test_labels_patterns_and_json(metric: metrics.Metric, answer: Any, right: Any, score: float) -> None:
    assert metric({"x": right}, SimpleNamespace(x=answer)) == score


def test_metrics_with_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pattern '\(' is not a regular expression"):
        metrics.regex("x", "(")
    with pytest.raises(ConfigError, match="has no keys"):
        metrics.json_fields("x", [])


def _judged(service: Service, **options: Any) -> float:
    metric = metrics.judge("answer", f"{service.url}/v1", "a-judge", **options)
    return metric({"answer": "Paris"}, SimpleNamespace(answer="the capital of France"))


def _saying(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


@pytest.mark.parametrize(("reply", "score"), [("8", 0.8), ("Mark: 10.", 1.0), ("none", 0.0)])
def test_a_judges_mark_is_the_score(reply: str, score: float) -> None:
    with serving(lambda request: _saying(reply)) as service:
        assert _judged(service) == pytest.approx(score)
    (request,) = service.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "a-judge"
    assert request.body["temperature"] == 0
    assert "Right answer: Paris" in request.body["messages"][0]["content"]
    assert "Answer: the capital of France" in request.body["messages"][0]["content"]


def test_a_judges_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda request: _saying("1")) as service:
        with pytest.raises(ConfigError, match="variable JUDGE_KEY, which is not set"):
            _judged(service, key_variable="JUDGE_KEY")
        monkeypatch.setenv("JUDGE_KEY", "secret")
        _judged(service, key_variable="JUDGE_KEY")
    assert [request.headers["Authorization"] for request in service.requests] == ["Bearer secret"]


def test_a_judge_that_fails_stops_the_run() -> None:
    with serving(lambda request: {"error": "no such model"}) as service:
        with pytest.raises(WorldError, match="did not answer with a chat completion: check `endpoint` and `model`"):
            _judged(service)
        service.status = 401
        with pytest.raises(WorldError, match="answered 401"):
            _judged(service)
    assert len(service.requests) == 2, "a refusal is not asked again"
