"""`p`: bootstrapped few-shot random search over demonstrations from the program's own traces.

Paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), Algorithm 1. The search is DSPy's
BootstrapFewShotWithRandomSearch (Khattab et al. 2023, arXiv 2310.03714), with every candidate scored on the adapter of
the program that it came from.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.formats.traces import read_traces
from bt_core.lm.states import vanilla_states
from bt_core.program import Program, write_program
from bt_core.records import Row, StageReport, Trace, read_jsonl
from bt_core.steps.optimise.candidates import candidates, has_same_prompts
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

    The search restarts from the task's own prompts on the weights of the incoming program. The demo-free program and
    the incoming prompts are always among the candidates; ties go to the earlier candidate.

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
    best, incoming = race.winner, _incoming(pool, opened)
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
    """Race the pool on validation; where the incoming score is not known, the incoming prompts see all rows."""
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
    return race.run(score, [] if stage.val_score is not None else [_incoming(pool, stage)])


def _incoming(pool: Sequence[Program], stage: Stage) -> int:
    """The candidate with the incoming prompts, which is always in the pool."""
    return next(index for index, candidate in enumerate(pool) if has_same_prompts(candidate, stage.program))


def _confidence(trace: Trace) -> float:
    """The joint probability of the run's likeliest closed answers; 1 where it had none."""
    return math.exp(sum(max(call.label_logprobs.values()) for call in trace.calls if call.label_logprobs))


def _note(pool: Sequence[Program], race: Race) -> str:
    lines = ["| candidate | demos | validation | rows seen |", "|---|---|---|---|"]
    for index, candidate in enumerate(pool):
        mark = " **chosen**" if index == race.winner else ""
        lines.append(f"| {index}{mark} | {candidate.demo_count} | {race.mean(index):.3f} | {race.seen[index]} |")
    lines += ["", f"Candidates that could not win any more were dropped: {race.saved:.0%} of the grid was not needed."]
    return "\n".join(lines)
