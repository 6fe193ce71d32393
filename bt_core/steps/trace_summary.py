"""What several examples show together: their traces (mean score, failures, closed answers), and their labels.

A label column holds classes where its field is closed, where the splits are stratified by it, or where its values
repeat: on average, two rows at least share a value.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bt_core.formats.baselines import Baselines
from bt_core.lm.probe import AnswerSpace, closed_fields, judge
from bt_core.records import Row, StageReport, Trace
from bt_core.task import Task

#: The metrics of a stage with the scores of constant answers on the test rows.
MAJORITY, SINGLE = "baseline/majority", "baseline/single_answer"
#: Characters of the longest value that is the name of a class rather than a text.
LONGEST_NAME = 60
#: How many of the most frequent labels are tried as the one answer to all rows; nearly always the first one is best.
TRIED = 10


def mean_score(traces: Sequence[Trace]) -> float:
    """The mean of the traces' scores, in [0, 1]; there must be at least one trace."""
    return sum(trace.score for trace in traces) / len(traces)


def failures(traces: Sequence[Trace]) -> tuple[str, ...]:
    """A warning that says how many examples failed and why the first one did; empty when none failed."""
    failed = [trace for trace in traces if trace.error]
    if not failed:
        return ()
    error = str(failed[0].error)
    reason = error.splitlines()[0][:160]
    remedy = ""
    if "AdapterParseError" in reason:
        remedy = (
            "; say in the instructions what form the answer has"
            if "LineAdapter" in error
            else "; a small model follows `adapter=LineAdapter` better"
        )
        remedy += ", and a cut answer needs more `decoding.max_tokens`"
    first = f"the first ({failed[0].example}) by {reason}"
    return (f"{len(failed)} of {len(traces)} examples failed and scored 0, {first}{remedy}",)


def answer_shares(traces: Sequence[Trace]) -> dict[str, dict[str, float]]:
    """Per predictor with closed answers: the share of each answer among its calls in the traces."""
    counts: dict[str, dict[str, int]] = {}
    for trace in traces:
        for call in trace.calls:
            if call.label_logprobs:
                answers = counts.setdefault(call.predictor, dict.fromkeys(call.label_logprobs, 0))
                answer = str(next(iter(call.outputs.values())))
                answers[answer] = answers.get(answer, 0) + 1
    return {
        name: {answer: count / sum(answers.values()) for answer, count in answers.items()}
        for name, answers in counts.items()
    }


@dataclass(frozen=True)
class ConstantAnswer:
    """One answer to every row: the label whose right answer it is, the answer itself, and its mean score in [0, 1]."""

    label: str
    answer: Mapping[str, Any]
    score: float


def class_columns(task: Task, rows: Sequence[Row]) -> dict[str, Counter[str]]:
    """Label column that holds classes -> how many of the rows each class has, the most frequent one first."""
    closed = closed_fields(task) if task.labels else {}
    found = {}
    for column in task.labels:
        values = [row[column] for row in rows]
        if not all(isinstance(value, str | int) and len(str(value)) <= LONGEST_NAME for value in values):
            continue
        counts = Counter(map(str, values))
        if column in closed or column == task.stratify or 2 * len(counts) <= len(rows):
            found[column] = Counter(dict(counts.most_common()))
    return found


def majority(task: Task, learnt: Sequence[Row], judged: Sequence[Row]) -> ConstantAnswer | None:
    """The answer that is right for most of the rows to learn from, scored by the metric on other rows.

    None where the labels are no classes, or the metric cannot be tried on answers that no program has given.
    """
    frequent = _most_frequent(task, learnt, 1)
    return _scored(task, frequent[0], judged) if frequent else None


def baselines(task: Task, learnt: Sequence[Row], judged: Sequence[Row]) -> dict[str, float]:
    """Both constant answers' scores on the rows as metrics of a stage; empty where there are none."""
    frequent, best = majority(task, learnt, judged), best_single(task, judged)
    return {MAJORITY: frequent.score, SINGLE: max(frequent.score, best.score)} if frequent and best else {}


def baselines_of(report: StageReport) -> Baselines | None:
    """What a stage has measured of constant answers; None where it has measured none."""
    metrics = report.metrics
    return Baselines(majority=metrics[MAJORITY], single_answer=metrics[SINGLE]) if MAJORITY in metrics else None


def best_single(task: Task, judged: Sequence[Row]) -> ConstantAnswer | None:
    """The one answer that scores best on the rows, which no answer to all of them exceeds; None as in `majority`."""
    answers = [found for row in _most_frequent(task, judged, TRIED) if (found := _scored(task, row, judged))]
    return max(answers, key=lambda answer: answer.score, default=None)


def _most_frequent(task: Task, rows: Sequence[Row], most: int) -> list[Row]:
    """A row for each of the most frequent labels; empty where not every label column holds classes."""
    columns = class_columns(task, rows)
    if not task.labels or set(columns) != set(task.labels):
        return []
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        first.setdefault(_label(task, row), row)
    counts = Counter(_label(task, row) for row in rows)
    return [first[label] for label, _ in counts.most_common(most)]


def _scored(task: Task, row: Row, judged: Sequence[Row]) -> ConstantAnswer | None:
    """The best answer to a row, as the answer to all rows."""
    try:
        answer = AnswerSpace.of(task).best(row).answer
        scores = [judge(task, other, answer) for other in judged]
    except Exception:  # a metric may raise anything
        return None
    return ConstantAnswer(", ".join(_label(task, row)), answer, sum(scores) / len(scores))


def _label(task: Task, row: Row) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in task.labels)
