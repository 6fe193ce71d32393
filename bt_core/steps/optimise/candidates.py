"""The candidates of a prompt search: the program with different sets of demonstrations from its own traces."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bt_core.config import Config
from bt_core.program import Demos, PredictorState, Program
from bt_core.records import Trace


def candidates(
    program: Program, vanilla: dict[str, PredictorState], passing: Sequence[Trace], config: Config
) -> list[Program]:
    """The programs to compare, in order.

    First the program without demonstrations, then the task's own prompts and the incoming ones where they differ from
    it, then up to `p.candidates` programs with demonstrations.

    Args:
        program: the incoming program, whose adapters every candidate has.
        vanilla: predictor -> the task's own prompt.
        passing: the traces to take demonstrations from.
        config: the run's merged configuration.
    """
    restarted = replace(
        program,
        predictors={name: replace(state, adapter=program.predictors[name].adapter) for name, state in vanilla.items()},
    )
    pool = [_with_demos(restarted, {})]
    for candidate in (restarted, program):
        if not any(has_same_prompts(candidate, earlier) for earlier in pool):
            pool.append(candidate)
    if not passing:
        return pool
    rng = random.Random(f"{config.seed}:p:{len(program.lineage)}")
    for number in range(config.p.candidates):
        # As in the released search: one full-size set first, the others of a random size.
        size = config.p.max_demos if number == 0 else rng.randint(1, config.p.max_demos)
        chosen = rng.sample(list(passing), min(size, len(passing)))
        candidate = _with_demos(restarted, _demos(chosen, rng))
        if not any(has_same_prompts(candidate, earlier) for earlier in pool):  # few traces give few different sets
            pool.append(candidate)
    return pool


def has_same_prompts(program: Program, other: Program) -> bool:
    """Whether both programs have the same instructions and demonstrations."""
    prompts, other_prompts = (
        {name: (state.instructions, state.demos) for name, state in one.predictors.items()} for one in (program, other)
    )
    return prompts == other_prompts


def _demos(chosen: Sequence[Trace], rng: random.Random) -> Demos:
    """One demonstration a trace for each predictor; if a trace calls a predictor several times, a random call."""
    names = dict.fromkeys(call.predictor for trace in chosen for call in trace.calls)
    demos: dict[str, tuple[dict[str, Any], ...]] = {}
    for name in names:
        calls = [[call for call in trace.calls if call.predictor == name] for trace in chosen]
        picked = [rng.choice(calls_of_trace) for calls_of_trace in calls if calls_of_trace]
        demos[name] = tuple({**call.inputs, **call.outputs} for call in picked)
    return demos


def _with_demos(program: Program, demos: Demos) -> Program:
    states = {name: replace(state, demos=demos.get(name, ())) for name, state in program.predictors.items()}
    return replace(program, predictors=states)
