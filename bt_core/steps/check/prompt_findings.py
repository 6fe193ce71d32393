"""What prompts leave out: descriptions of fields, the options of a closed answer, and the form of an answer."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from bt_core.lm.probe import outputs_of
from bt_core.program import Field
from bt_core.steps.check.report import Evidence, Finding, LmCall
from bt_core.steps.trace_summary import class_columns

#: A text field whose label has so few values, in so many rows each, could be a closed one.
FEW_VALUES, ROWS_EACH = 20, 3
#: How many options a sentence names.
NAMED = 3
#: Words by which a prompt says what form its answer has.
FORM = re.compile(
    r"number|integer|digit|decimal|numeral|count\b|how many|\bint\b|float|\btrue\b|\bfalse\b|\byes\b|\bjson\b|\blist\b"
    r"|comma|separated|format\b|in this form",
    re.IGNORECASE,
)


def prompt_findings(evidence: Evidence) -> Iterator[Finding]:
    """What the prompts of the rows that were run leave out."""
    calls: dict[str, list[LmCall]] = defaultdict(list)
    for call in (call for run in evidence.runs for call in run.asked):
        calls[call.predictor].append(call)
    for name, own in calls.items():
        state = evidence.program.predictors.get(name)
        if state:
            yield from _descriptions(name, (*state.inputs, *state.outputs), own)
            yield from _options(name, own, evidence)
            yield from _form(name, state.outputs, own)


def _descriptions(name: str, fields: Sequence[Field], calls: Sequence[LmCall]) -> Iterator[Finding]:
    prompt = _text(calls[-1])
    for field in fields:
        if _is_placeholder(field) and field.description in prompt:
            yield Finding("warning", f"The prompt of `{name}` holds the empty description {field.description}.")
        elif field.description and not _is_placeholder(field) and field.description not in prompt:
            yield Finding(
                "warning",
                f"The description of `{name}`'s field `{field.name}` is not in its prompt: this adapter writes"
                " none, so say it in the instructions.",
            )


def _options(name: str, calls: Sequence[LmCall], evidence: Evidence) -> Iterator[Finding]:
    """Closed answers, and labels of a few values, of which the prompts do not state even a half.

    An option counts as stated where every prompt of the predictor has it, since one alone may have it in its input.
    """
    texts = [_text(call) for call in calls]
    rows = [row for split in evidence.splits.values() for row in split]
    classes = class_columns(evidence.task, rows)
    for field, values in outputs_of(evidence.task).get(name, {}).items():
        options = [str(value) for value in values if not isinstance(value, bool)]
        is_closed = bool(options)
        if not options and not values and _are_few(classes.get(field, Counter())):
            options = list(classes[field])
        stated = [option for option in options if all(_has(text, option) for text in texts)]
        if 2 * len(stated) >= len(options):
            continue
        named = ", ".join(map(repr, options[:NAMED])) + (", ..." if len(options) > NAMED else "")
        what = f"The prompt of `{name}` states {len(stated) or 'none'} of the {len(options)}"
        if not is_closed:
            yield Finding(
                "warning",
                f"{what} labels of `{field}` ({named}), and its answer is free text: name them in the instructions, or"
                " make the field closed (`Literal[...]`, or `labels` in the task's file).",
            )
        elif all(call.closed for call in calls):
            yield Finding(
                "note",
                f"{what} options of `{field}` ({named}): its answer is always one of them, but the model is not told"
                " which there are; naming them in the instructions may help.",
            )
        else:
            yield Finding(
                "warning",
                f"{what} options of `{field}` ({named}), and its answer is free text that has to be one of them: name"
                " them in the instructions.",
            )


def _form(name: str, outputs: Sequence[Field], calls: Sequence[LmCall]) -> Iterator[Finding]:
    """Answers that could not be read although, or because, no prompt says what form they have."""
    unread = [call for call in calls if call.error and call.completion.strip()]
    typed = [field for field in outputs if field.type != "str" and not field.type.startswith("Literal")]
    if unread and typed and not any(FORM.search(_text(call)) for call in calls):
        fields = ", ".join(f"`{field.name}: {field.type}`" for field in typed)
        yield Finding(
            "warning",
            f"{len(unread)} of {len(calls)} answers of `{name}` could not be read, and its prompt does not say what"
            f" form {fields} has: say it in the instructions, such as `Answer with a number alone.`",
        )


def _text(call: LmCall) -> str:
    return "\n".join(message.content for message in call.prompt)


def _has(text: str, option: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def _are_few(counts: Counter[str]) -> bool:
    """Whether the values are few enough, and frequent enough, to be the options of a closed field."""
    return 2 <= len(counts) <= FEW_VALUES and counts.total() >= ROWS_EACH * len(counts)


def _is_placeholder(field: Field) -> bool:
    """Whether the description is the one that DSPy gives to a field without any."""
    return field.description == f"${{{field.name}}}"
