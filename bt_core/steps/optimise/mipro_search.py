"""`m`: MIPROv2, instructions that an LM proposes and bootstrapped demonstrations, chosen together.

Opsahl-Ong et al. 2024 (arXiv 2406.11695); the search is DSPy's (`bt_core/lm/mipro.py`), over this project's program
runs. It starts from the incoming program, so that `g -> m` goes on with the instructions that `g` found.
"""

import math
from pathlib import Path

from bt_core.config import Config, MiproConfig
from bt_core.engine.base import Engine
from bt_core.lm.mipro import MiproSearch
from bt_core.records import StageReport
from bt_core.steps.optimise.candidate_pool import CandidatePool, too_small
from bt_core.steps.optimise.writer import open_writer
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage

#: Trials on a minibatch between two looks at all validation rows, and demonstrations that inform a proposal where the
#: program gets none: the library's own figures.
FULL_EVERY, INFORMING_DEMOS = 5, 3


def mipro_search(
    program: Path,
    traces: Path,
    train: Path,
    val: Path,
    config: Config,
    stage: str,
    optimised: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Choose instructions and demonstrations together; the train split is described to the LM that proposes.

    The pool always holds the demo-free program and the incoming prompts; ties go to the earlier candidate.

    Raises:
        BtError: when an input is not usable, the budget allows no try, or the engine or the library failed.
    """
    opened = Stage.open(stage, "m", program, config)
    session = Session(opened, engine)
    pool = CandidatePool.open(session, traces, train, val)
    search = MiproSearch(
        stage=stage,
        task=opened.task,
        program=opened.program,
        demo_sets=pool.demo_sets(config.m.candidates, config.m.max_demos or INFORMING_DEMOS),
        settings=config.m,
        trials=trials(config.m, pool.baseline_runs, len(pool.val)),
        seed=config.seed,
    )
    pool.add_baselines()
    with open_writer(session, config.m) as writer:
        search.run(pool.train, pool.val, pool.score, writer)
    outcome = "" if pool.passing else "no trace passed, so there were no demonstrations to try"
    return pool.conclude(config.m, writer, optimised, outcome)


def trials(settings: MiproConfig, spent: int, rows: int) -> int:
    """How many combinations the budget allows.

    Args:
        settings: of `m`.
        spent: program runs before the search; the start is among them, and is not run again.
        rows: of the validation split.

    Raises:
        ConfigError: when it allows none.
    """
    left = settings.metric_calls - spent
    batch = settings.minibatch if settings.minibatch < rows else 0

    def cost(count: int) -> int:
        return count * batch + math.ceil(count / FULL_EVERY) * rows if batch else count * rows

    if left < cost(1):
        raise too_small("m", settings.metric_calls, spent + cost(1), "the known programs and one combination")
    count = 1
    while cost(count + 1) <= left:
        count += 1
    return count
