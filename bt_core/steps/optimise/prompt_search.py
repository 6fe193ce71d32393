"""`p`: bootstrapped few-shot random search over demonstrations from the program's own traces.

Paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), Algorithm 1; the search is DSPy's
BootstrapFewShotWithRandomSearch (Khattab et al. 2023, arXiv 2310.03714), every candidate scored with the
adapter of the program it came from.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.lm.states import vanilla_states
from bt_core.program import PredictorState, Program, write_program
from bt_core.records import Row, StageReport, Trace, read_jsonl, read_traces
from bt_core.steps.optimise.racing import Outcome, Pair, Race
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage


def prompt_search(
    program: Path,
    traces: Path,
    train: Path,
    val: Path,
    config: Config,
    stage: str,
    optimised: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Choose the demonstrations that score best on the validation split.

    The search restarts from the task's own prompts on the program's present weights. Its pool always holds
    the demo-free program, and the incoming prompts where they differ; ties go to the earlier candidate.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    opened = Stage.open(stage, "p", program, config)
    session = Session(opened, engine)
    train_rows, val_rows = read_jsonl(train), read_jsonl(val)
    passing = [trace for trace in read_traces(traces) if trace.score >= config.bootstrap.threshold]
    pool = candidates(opened.program, vanilla_states(opened.task), passing, config)
    pool = session.runner.calibrate(pool, train_rows, f"{stage} calibrate")
    race = _race(session, pool, val_rows)
    best, incoming = race.winner, _position(pool, opened.program)
    before = race.mean(incoming) if opened.val_score is None else opened.val_score
    after = race.mean(best)
    outcome = "" if passing else "no trace passed, so there were no demonstrations to try"
    settings = config.p.model_dump() | {"threshold": config.bootstrap.threshold}
    write_program(opened.with_step(pool[best], settings, before, after, outcome), optimised, opened.adapter_folders())
    return session.report(
        params=settings,
        metrics={
            "val/score": after,
            "val/score_before": before,
            "search/candidates": float(len(pool)),
            "search/chosen": float(best),
            "search/demos": float(pool[best].demo_count),
            "search/saved": race.saved,
        },
        series={"search/score": [(index, race.mean(index)) for index in range(len(pool))]},
        warnings=(f"{stage}: {outcome}.",) if outcome else (),
        note=_note(pool, race),
    )


def _race(session: Session, pool: Sequence[Program], val: Sequence[Row]) -> Race:
    """Score the pool on validation; the incoming prompts on all of it where their score is not known yet."""
    stage = session.stage

    def score(pairs: Sequence[Pair]) -> list[Outcome]:
        label = f"{stage.name} {len({candidate for candidate, _ in pairs})} candidates"
        chosen = [(pool[candidate], val[row]) for candidate, row in pairs]
        return [Outcome(trace.score, _confidence(trace)) for trace in session.runner.run_pairs(chosen, label)]

    settings, stratum = stage.config.p, stage.task.stratify
    race = Race(
        candidates=len(pool),
        rows=len(val),
        racing=settings.racing,
        risk=settings.racing_risk,
        seed=stage.config.seed,
        step=settings.racing_step,
        strata=[str(row[stratum]) for row in val] if stratum else None,
    )
    return race.run(score, [] if stage.val_score is not None else [_position(pool, stage.program)])


def _confidence(trace: Trace) -> float:
    """Probability of the likeliest closed answers of the run, all together; 1 where it had none."""
    return math.exp(sum(max(call.label_logprobs.values()) for call in trace.calls if call.label_logprobs))


def candidates(
    program: Program, vanilla: dict[str, PredictorState], passing: Sequence[Trace], config: Config
) -> list[Program]:
    """The pool, in order: demo-free, incoming prompts, then `p.candidates` demo sets from the passing traces."""
    restarted = replace(
        program,
        predictors={name: replace(state, adapter=program.predictors[name].adapter) for name, state in vanilla.items()},
    )
    pool = [_with_demos(restarted, {})]
    for extra in (restarted, program):
        if all(_prompts(extra) != _prompts(known) for known in pool):
            pool.append(extra)
    if not passing:
        return pool
    rng = random.Random(f"{config.seed}:p:{len(program.lineage)}")
    for number in range(config.p.candidates):
        # As in the released search: one full-size set first, the others of a random size.
        size = config.p.max_demos if number == 0 else rng.randint(1, config.p.max_demos)
        chosen = rng.sample(list(passing), min(size, len(passing)))
        candidate = _with_demos(restarted, _demos(chosen, rng))
        if all(_prompts(candidate) != _prompts(known) for known in pool):  # few traces give few sets
            pool.append(candidate)
    return pool


def _demos(chosen: Sequence[Trace], rng: random.Random) -> dict[str, tuple[dict[str, Any], ...]]:
    """Per predictor one demo a trace; of a predictor called several times in a trace, one call at random."""
    names = dict.fromkeys(call.predictor for trace in chosen for call in trace.calls)
    demos: dict[str, tuple[dict[str, Any], ...]] = {}
    for name in names:
        calls = [[call for call in trace.calls if call.predictor == name] for trace in chosen]
        picked = [rng.choice(own) for own in calls if own]
        demos[name] = tuple({**call.inputs, **call.outputs} for call in picked)
    return demos


def _with_demos(program: Program, demos: dict[str, tuple[dict[str, Any], ...]]) -> Program:
    states = {name: replace(state, demos=demos.get(name, ())) for name, state in program.predictors.items()}
    return replace(program, predictors=states)


def _prompts(program: Program) -> Any:
    return {name: (state.instructions, state.demos) for name, state in program.predictors.items()}


def _position(pool: Sequence[Program], program: Program) -> int:
    return next(index for index, known in enumerate(pool) if _prompts(known) == _prompts(program))


def _note(pool: Sequence[Program], race: Race) -> str:
    lines = ["| candidate | demos | validation | rows seen |", "|---|---|---|---|"]
    for index, candidate in enumerate(pool):
        mark = " **chosen**" if index == race.winner else ""
        lines.append(f"| {index}{mark} | {candidate.demo_count} | {race.mean(index):.3f} | {race.seen[index]} |")
    lines += ["", f"A candidate that could not win any more was dropped: {race.saved:.0%} of the grid was not needed."]
    return "\n".join(lines)
