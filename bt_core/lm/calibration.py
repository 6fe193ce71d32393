"""Label priors: which closed answers an LM prefers, whatever the question."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bt_core.program import Program
from bt_core.records import Trace

#: Content-free inputs of Zhao et al. 2021 (arXiv 2102.09690, section 4).
CONTENT_FREE = ("N/A", "", "[MASK]")


def mean_logprobs(traces: Iterable[Trace]) -> dict[str, dict[str, float]]:
    """Per predictor with closed answers: the mean log-probability of each answer over its calls, in nats."""
    logprobs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for trace in traces:
        for call in trace.calls:
            if call.label_logprobs:
                logprobs[call.predictor].append(call.label_logprobs)
    return {
        name: {label: round(sum(call[label] for call in calls) / len(calls), 6) for label in calls[0]}
        for name, calls in logprobs.items()
    }


def with_priors(program: Program, priors: Mapping[str, dict[str, float]]) -> Program:
    """The program with these label priors; a predictor that has none here loses its own."""
    states = {name: replace(state, label_prior=priors.get(name)) for name, state in program.predictors.items()}
    return replace(program, predictors=states)
