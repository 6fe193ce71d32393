"""`bt check` on labels: what a metric accepts is never called wrong, and nothing that spoils a run is left out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dspy
import pytest

from bt_core.config import resolve_config
from bt_core.metrics import exact_match, label_accuracy, numeric
from bt_core.program import Program
from bt_core.records import Row, Trace
from bt_core.steps.check.findings import RULES
from bt_core.steps.check.label_findings import label_findings
from bt_core.steps.check.report import Evidence, Finding, RowRun
from bt_core.steps.check.row_findings import metric_findings, size_findings, split_findings
from tests.core import toy

COLOURS = ("red", "green", "blue")
Rule = Callable[[Evidence], Any]


def made(count: int, /, **columns: Callable[[int], Any]) -> list[Row]:
    rows = [{"thing": f"thing {n}", "colour": COLOURS[n % 3]} for n in range(count)]
    return [row | {name: value(n) for name, value in columns.items()} for n, row in enumerate(rows)]


def findings(rule: Rule, rows: list[Row], sizes: tuple[int, int] | None = None, **parts: Any) -> list[Finding]:
    """What a rule finds of a toy task on these rows, which are divided in the given order."""
    train, val = sizes or (len(rows) // 3, len(rows) // 3)
    splits = {"train": rows[:train], "val": rows[train : train + val], "test": rows[train + val :]}
    runs = [
        RowRun(rows[0], (), Trace("one", 1.0, prediction={"colour": parts.pop("answered", "red")}), 0.0),
    ]
    task = replace(toy.task, **parts)
    program = Program("toy", "m", "", {}, {})
    return list(rule(Evidence(task, resolve_config({"task": "toy"}), program, splits, runs, (), None)))


def said(severity: str, rule: Rule, rows: list[Row], *sizes: tuple[int, int], **parts: Any) -> list[str]:
    return [found.sentence for found in findings(rule, rows, *sizes, **parts) if found.severity == severity]


SYNONYMS = {"crimson": "red", "lime": "green", "navy": "blue"}


def by_synonym(example: Any, prediction: Any) -> bool:
    return SYNONYMS.get(example.colour, example.colour) == prediction.colour


def in_lower_case(example: Any, prediction: Any) -> bool:
    return bool(example.colour.lower() == prediction.colour)


def reads_elsewhere(example: Any, prediction: Any) -> bool:
    return bool(prediction.shade == example.colour)


ACCEPTED: dict[str, tuple[Callable[[int], Any], Any]] = {
    "lower case": (lambda n: COLOURS[n % 3].title(), in_lower_case),
    "our own metric": (lambda n: COLOURS[n % 3].upper(), label_accuracy("colour")),
    "synonyms": (lambda n: list(SYNONYMS)[n % 3], by_synonym),
    "several right answers": (lambda n: [COLOURS[n % 3], "a colour"], exact_match("colour")),
}


@pytest.mark.parametrize(("label", "metric"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_labels_that_the_metric_accepts_are_no_mistake(label: Any, metric: Any) -> None:
    rows = made(60, colour=label)
    for rule in (label_findings, metric_findings):
        assert said("mistake", rule, rows, metric=metric, stratify="") == []


def test_only_labels_that_no_option_scores_on_are_never_right() -> None:
    rows = made(60, colour=lambda n: "violet" if n == 7 else COLOURS[n % 3].title())
    (sentence,) = said("mistake", label_findings, rows, metric=in_lower_case)
    assert sentence == (
        "1 of 60 labels in `colour` are not among the options of the field of that name ('violet'; the options are"
        " 'red', 'green', 'blue'): such a row can never be right."
    )


def test_labels_on_which_the_metric_cannot_be_tried_are_no_mistake() -> None:
    rows = made(60, colour=lambda n: COLOURS[n % 3].title())
    assert said("mistake", label_findings, rows, metric=reads_elsewhere) == []
    (sentence,) = said("warning", label_findings, rows, metric=reads_elsewhere)
    assert "such a row is right only where the metric accepts an option, and it could not be tried" in sentence


def test_a_program_that_makes_something_of_the_closed_answer_may_have_other_labels() -> None:
    rows = made(60, colour=lambda n: COLOURS[n % 3].title())
    assert said("mistake", label_findings, rows, answered="Red") == []
    assert len(said("mistake", label_findings, rows)) == 1


class Numbers(dspy.Signature):
    """Count."""

    thing: str = dspy.InputField()
    count: int = dspy.OutputField()


def test_a_label_is_tried_in_the_type_of_its_field() -> None:
    rows = made(30, count=lambda n: str(n))
    parts: dict[str, Any] = {"program": lambda: dspy.Predict(Numbers), "labels": ("count",), "stratify": ""}
    assert findings(metric_findings, rows, metric=lambda e, p: p.count == int(e.count), **parts) == []
    assert findings(metric_findings, rows, metric=numeric("count"), **parts) == []
    strict = said("mistake", metric_findings, rows, metric=lambda e, p: p.count is None, **parts)
    assert strict == ["The metric is 0 even for the rows' own labels: no answer can ever score."]


def test_a_metric_is_always_right_only_where_every_other_label_scores() -> None:
    """Of two spellings of one label, the first other label is right too."""
    rows = made(30, colour=lambda n: ("red", "Red", "blue", "Blue")[n % 4])
    assert said("mistake", metric_findings, rows, metric=label_accuracy("colour"), stratify="") == []
    always = said("mistake", metric_findings, rows, metric=toy.always(1.0), stratify="")
    assert always == ["The metric is 1 whatever the answer: it gives 1 to the labels of other rows too."]


def test_labels_that_train_lacks() -> None:
    rows = made(60, colour=lambda n: "red" if n < 20 else COLOURS[n % 3])
    (sentence,) = said("warning", label_findings, rows, stratify="")
    assert sentence == (
        "No row of train has 2 of the 3 labels in `colour` ('blue', 'green'): no demo and no trace can show them; give"
        " more rows with --train-rows, or set `stratify`."
    )
    (stratified,) = said("warning", label_findings, rows, stratify="colour")
    assert stratified.endswith("give more rows with --train-rows.")
    other_spelling = made(60, colour=lambda n: COLOURS[n % 3].title() if n > 20 else COLOURS[n % 3])
    assert said("warning", label_findings, other_spelling, metric=in_lower_case) == []


def test_answers_of_free_text_are_no_labels_that_train_could_lack() -> None:
    rows = made(60, answer=lambda n: f"answer {n}")
    free: dict[str, Any] = {"program": lambda: dspy.Predict("thing -> answer"), "labels": ("answer",), "stratify": ""}
    assert findings(label_findings, rows, metric=exact_match("answer"), **free) == []


def test_the_majority_baseline_is_scored_by_the_metric() -> None:
    rows = made(60, colour=lambda n: "Red" if n % 2 else COLOURS[n % 3])
    (sentence,) = said("note", label_findings, rows, metric=in_lower_case, stratify="")
    red = sum(row["colour"].lower() == "red" for row in rows[20:40]) / 20
    assert sentence == (
        f"Always answering 'Red', the most frequent label of train, scores {red:.3f} on the 20 validation rows by the"
        " metric: a program has to score more than that to be of use."
    )


def test_tiny_splits() -> None:
    train, val, test = said("warning", size_findings, made(10), (2, 3))
    assert train.startswith("Train has 2 rows, and `w` needs 4 traces that pass (`w.min_traces`)")
    assert val.startswith("Val has 3 rows, so that one row is 0.33 of a score")
    assert test.startswith("Test has 5 rows, whose mean score is known only to about 0.44")
    assert said("warning", size_findings, made(60)) == []


def test_inputs_that_differ_in_writing_and_have_two_answers() -> None:
    rows = made(60)
    rows[1] = {"thing": "Thing 0!", "colour": "green"}
    assert (
        "1 input of train have several answers when case, spaces and punctuation are ignored: a program can hardly be"
        " right on all of these rows."
    ) in said("warning", split_findings, rows)
    rows[1] = {"thing": "Thing 0!", "colour": "red"}
    assert not [sentence for sentence in said("warning", split_findings, rows) if "several answers" in sentence]


def test_a_check_has_these_rules() -> None:
    assert {label_findings, size_findings} <= set(RULES)
