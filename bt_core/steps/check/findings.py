"""The usual mistakes of a task, as sentences."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bt_core.lm.probe import closed_fields, judge
from bt_core.program import Field
from bt_core.records import Row
from bt_core.steps.check.checkup import Asked, Checked, Finding
from bt_core.steps.trace_summary import failures
from bt_core.task import Task

#: Rows on whose labels the metric is tried.
JUDGED = 10


def findings(checked: Checked) -> list[Finding]:
    """Everything that is wrong or odd, mistakes first."""
    found = [finding for rule in RULES for finding in rule(checked)]
    return sorted(found, key=lambda finding: finding.severity != "mistake")


def _runs(checked: Checked) -> Iterator[Finding]:
    """Runs that failed, nonsense of the metric, and scores that are all the same."""
    traces = [run.trace for run in checked.runs]
    for sentence in failures(traces):
        yield Finding("mistake" if all(trace.error for trace in traces) else "warning", f"{sentence}.")
    for sentence in checked.nonsense[:1]:
        yield Finding("mistake", sentence)
    scores = {trace.score for trace in traces if not trace.error}
    if len(scores) == 1 and len(traces) > 1 and scores <= {0.0, 1.0}:
        yield Finding(
            "warning", f"All {len(traces)} rows score {scores.pop():g}; three rows show little, but look at them."
        )


def _metric(checked: Checked) -> Iterator[Finding]:
    """The metric on the labels themselves: it must know them, and tell them from wrong ones."""
    task, rows = checked.task, list(checked.splits["train"])[:JUDGED]
    pairs = [(row, _other(row, checked.splits["train"], task)) for row in rows] if task.labels else []
    right, wrong = [], []
    for row, other in pairs:
        try:
            right.append(judge(task, row, _labels(row, task)))
            wrong += [judge(task, row, _labels(other, task))] if other else []
        except (AttributeError, KeyError) as error:
            names = ", ".join(f"`{name}`" for name in task.labels)
            reason = str(error).strip("\"'")
            yield Finding("warning", f"The metric could not be tried on the labels {names} as an answer ({reason}).")
            return
        except Exception as error:  # a metric may raise anything
            yield Finding("mistake", f"The metric raises on a row's own labels ({type(error).__name__}: {error}).")
            return
    yield from _judged(right, wrong, checked.config.bootstrap.threshold)


def _judged(right: Sequence[float], wrong: Sequence[float], threshold: float) -> Iterator[Finding]:
    if not right:
        return
    if wrong and min(wrong) == max(wrong) == 1.0:
        yield Finding("mistake", "The metric is 1 whatever the answer: it gives 1 to the labels of other rows too.")
    elif max(right) == 0.0:
        yield Finding("mistake", "The metric is 0 even for the rows' own labels: it can never be met.")
    elif max(right) < threshold:
        yield Finding(
            "mistake",
            f"The metric gives the rows' own labels {max(right):g} at most, less than `bootstrap.threshold`"
            f" ({threshold:g}): no trace could be kept.",
        )
    elif min(right) < threshold:
        count = sum(score < threshold for score in right)
        yield Finding("warning", f"The metric gives {count} of {len(right)} rows' own labels less than {threshold:g}.")
    elif wrong and sum(wrong) / len(wrong) >= 0.5:
        yield Finding(
            "warning", f"The metric gives wrong labels {sum(wrong) / len(wrong):.2f} on average: is that meant?"
        )


def _options(checked: Checked) -> Iterator[Finding]:
    """Labels that a closed answer can never equal, and labels that never change."""
    rows = [row for name in ("train", "val") for row in checked.splits[name]]
    closed = closed_fields(checked.task)
    for column in checked.task.labels:
        values = [row[column] for row in rows]
        strange = Counter(repr(value) for value in values if column in closed and value not in closed[column])
        if strange:
            shown = ", ".join(value for value, _ in strange.most_common(3))
            options = ", ".join(map(repr, closed[column][:8]))
            yield Finding(
                "mistake",
                f"{sum(strange.values())} of {len(values)} labels in `{column}` are not among the options of the field"
                f" of that name ({shown}; the options are {options}): such a row can never be right.",
            )
        if len(values) > 1 and len({repr(value) for value in values}) == 1:
            yield Finding("warning", f"Every row has the same label in `{column}`: {values[0]!r}.")


def _splits(checked: Checked) -> Iterator[Finding]:
    """Inputs that stand twice, or in two splits but for case, spaces and punctuation."""
    seen: dict[str, set[str]] = defaultdict(set)
    for name, rows in checked.splits.items():
        keys = [_normalised(row, checked.task) for row in rows]
        if len(set(keys)) < len(keys):
            yield Finding(
                "warning", f"{len(keys) - len(set(keys))} rows of {name} have the inputs of another of its rows."
            )
        for key in keys:
            seen[key].add(name)
    shared = [(key, names) for key, names in seen.items() if len(names) > 1]
    if shared:
        key, names = shared[0]
        yield Finding(
            "warning",
            f"{len(shared)} examples stand in two splits but for case, spaces and punctuation, the first in"
            f" {' and '.join(sorted(names))} ({key[:60]!r}): the test would be too kind.",
        )


def _called(checked: Checked) -> Iterator[Finding]:
    """Predictors that were not called, and calls that nothing is learnt from."""
    asked = [one for run in checked.runs for one in run.asked]
    for name in checked.program.predictors.keys() - {one.predictor for one in asked}:
        yield Finding("warning", f"Predictor `{name}` was called on none of the {len(checked.runs)} rows.")
    for signature in sorted({one.signature for one in asked if not one.predictor}):
        yield Finding(
            "warning",
            f"The program makes a predictor while it runs ({signature}), which is answered but not optimised: make it"
            " in `__init__`.",
        )
    for model in sorted({model for run in checked.runs for model in run.outside}):
        yield Finding(
            "warning",
            f"The program also calls {model}, an LM outside its predictors: those calls are neither optimised nor"
            " traced.",
        )
    kept = sorted({name for run in checked.runs for name in run.kept})
    if kept:
        yield Finding(
            "warning",
            f"The program keeps `{'`, `'.join(kept)}` on its module while it runs, where examples that run side by side"
            " overwrite it: use local variables.",
        )


def _answers(checked: Checked) -> Iterator[Finding]:
    """Answers that were cut or empty, and prompts that do not fit."""
    by_predictor: dict[str, list[Asked]] = defaultdict(list)
    for one in (one for run in checked.runs for one in run.asked):
        by_predictor[one.predictor or "made in forward"].append(one)
    for name, asked in by_predictor.items():
        cut, empty = sum(one.cut for one in asked), sum(not one.completion.strip() and not one.error for one in asked)
        if cut:
            yield Finding(
                "warning",
                f"{cut} of {len(asked)} answers of `{name}` were cut at `decoding.max_tokens`"
                f" ({checked.config.decoding.max_tokens}): raise it, or end answers by `decoding.stop`.",
            )
        if empty:
            yield Finding("warning", f"{empty} of {len(asked)} answers of `{name}` were empty.")
        long = next((one.error for one in asked if "context holds" in one.error), "")
        if long:
            yield Finding("mistake", f"A prompt of `{name}` does not fit the model ({long}): shorten it.")
        elif name in checked.program.predictors:
            yield from _with_demos(name, asked, checked)


def _with_demos(name: str, asked: Sequence[Asked], checked: Checked) -> Iterator[Finding]:
    longest = max(asked, key=lambda one: one.prompt_tokens)
    letters = sum(len(message.content) for message in longest.prompt) or 1
    demo = longest.prompt_tokens * (len(longest.prompt[-1].content) + len(longest.completion)) / letters
    most, room = checked.config.p.max_demos, checked.config.decoding.max_tokens
    need = round(longest.prompt_tokens + most * demo + room)
    if checked.context_length and need > checked.context_length:
        yield Finding(
            "warning",
            f"With {most} demonstrations of that length a prompt of `{name}` would need about {need} tokens, and the"
            f" model's context holds {checked.context_length}: lower `p.max_demos`.",
        )


def _descriptions(checked: Checked) -> Iterator[Finding]:
    """Descriptions of fields that the prompt leaves out, and placeholders that it does not."""
    prompts = {one.predictor: "\n".join(m.content for m in one.prompt) for run in checked.runs for one in run.asked}
    for name, prompt in prompts.items():
        state = checked.program.predictors.get(name)
        for field in (*state.inputs, *state.outputs) if state else ():
            if _is_placeholder(field) and field.description in prompt:
                yield Finding("warning", f"The prompt of `{name}` holds the empty description {field.description}.")
            elif field.description and not _is_placeholder(field) and field.description not in prompt:
                yield Finding(
                    "warning",
                    f"The description of `{name}`'s field `{field.name}` is not in its prompt: this adapter writes"
                    " none, so say it in the instructions.",
                )


RULES: tuple[Callable[[Checked], Iterator[Finding]], ...] = (
    _runs,
    _metric,
    _options,
    _splits,
    _called,
    _answers,
    _descriptions,
)


def _is_placeholder(field: Field) -> bool:
    """DSPy's own description of a field that has none."""
    return field.description == f"${{{field.name}}}"


def _labels(row: Row, task: Task) -> dict[str, Any]:
    return {column: row[column] for column in task.labels}


def _other(row: Row, rows: Sequence[Row], task: Task) -> Row | None:
    """Another row, none of whose labels is the row's."""
    return next((one for one in rows if all(one[column] != row[column] for column in task.labels)), None)


def _normalised(row: Mapping[str, Any], task: Task) -> str:
    text = " | ".join(str(row[column]) for column in task.inputs)
    return " ".join(re.sub(r"[.,;:!?'\"]", " ", text.casefold()).split())
