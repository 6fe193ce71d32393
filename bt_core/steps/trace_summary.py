"""What the traces of several examples show together: mean score, failures, and which closed answers were given."""

from collections.abc import Sequence

from bt_core.records import Trace


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
