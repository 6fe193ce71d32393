"""What is wrong with the runs of a few rows: failures, calls, answers and prompts."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bt_core.lm.modules import frozen_modules
from bt_core.lm.probe import sentences_about
from bt_core.steps.check.report import Evidence, Finding, LmCall
from bt_core.steps.trace_summary import failures


def run_findings(evidence: Evidence) -> Iterator[Finding]:
    """Runs that failed, a metric that returned no score, and scores that are all the same."""
    traces = [run.trace for run in evidence.runs]
    for sentence in failures(traces):
        yield Finding("mistake" if all(trace.error for trace in traces) else "warning", f"{sentence}.")
    for sentence in evidence.metric_errors[:1]:
        yield Finding("mistake", sentence)
    scores = {trace.score for trace in traces if not trace.error}
    if len(scores) == 1 and len(traces) > 1 and scores <= {0.0, 1.0}:
        yield Finding(
            "warning", f"All {len(traces)} rows score {scores.pop():g}; three rows show little, but look at them."
        )


def call_findings(evidence: Evidence) -> Iterator[Finding]:
    """Predictors that were not called, and calls that nothing is learnt from."""
    calls = [call for run in evidence.runs for call in run.asked]
    for name in evidence.program.predictors.keys() - {call.predictor for call in calls}:
        yield Finding("warning", f"Predictor `{name}` was called on none of the {len(evidence.runs)} rows.")
    yield from (Finding("warning", sentence) for sentence in sentences_about(evidence.task))
    frozen = frozen_modules(evidence.task.program()).values()
    known = {predictor.signature.signature for part in frozen for predictor in part.predictors()}
    for signature in sorted({call.signature for call in calls if not call.predictor} - known):
        yield Finding(
            "warning",
            f"The program makes a predictor while it runs ({signature}), which is answered but not optimised: make it"
            " in `__init__`.",
        )
    for model in sorted({model for run in evidence.runs for model in run.outside}):
        yield Finding(
            "warning",
            f"The program also calls {model}, an LM outside its predictors: those calls are neither optimised nor"
            " traced.",
        )
    kept = sorted({name for run in evidence.runs for name in run.kept})
    if kept:
        yield Finding(
            "warning",
            f"The program keeps `{'`, `'.join(kept)}` on its module while it runs, where examples that run side by side"
            " overwrite it: use local variables.",
        )


def answer_findings(evidence: Evidence) -> Iterator[Finding]:
    """Answers that were cut or empty, and prompts that do not fit into the model's context."""
    by_predictor: dict[str, list[LmCall]] = defaultdict(list)
    for call in (call for run in evidence.runs for call in run.asked):
        by_predictor[call.predictor or "made in forward"].append(call)
    for name, calls in by_predictor.items():
        cut = sum(call.cut for call in calls)
        empty = sum(not call.completion.strip() and not call.error for call in calls)
        if cut:
            yield Finding(
                "warning",
                f"{cut} of {len(calls)} answers of `{name}` were cut at `decoding.max_tokens`"
                f" ({evidence.config.decoding.max_tokens}): raise it, or end answers by `decoding.stop`.",
            )
        if empty:
            yield Finding("warning", f"{empty} of {len(calls)} answers of `{name}` were empty.")
        too_long = next((call.error for call in calls if "context holds" in call.error), "")
        if too_long:
            yield Finding("mistake", f"A prompt of `{name}` does not fit the model ({too_long}): shorten it.")
        elif name in evidence.program.predictors:
            yield from _demo_findings(name, calls, evidence)


def _demo_findings(name: str, calls: Sequence[LmCall], evidence: Evidence) -> Iterator[Finding]:
    """Whether a prompt would still fit with as many demonstrations as `p` may add."""
    longest = max(calls, key=lambda call: call.prompt_tokens)
    characters = sum(len(message.content) for message in longest.prompt) or 1
    demo_tokens = longest.prompt_tokens * (len(longest.prompt[-1].content) + len(longest.completion)) / characters
    demos, answer_tokens = evidence.config.p.max_demos, evidence.config.decoding.max_tokens
    needed = round(longest.prompt_tokens + demos * demo_tokens + answer_tokens)
    if evidence.context_length and needed > evidence.context_length:
        yield Finding(
            "warning",
            f"With {demos} demonstrations of that length a prompt of `{name}` would need about {needed} tokens, and the"
            f" model's context holds {evidence.context_length}: lower `p.max_demos`.",
        )
