"""`m`: MIPROv2, which chooses instructions that an LM proposes and bootstrapped demonstrations together.

Paper: Opsahl-Ong et al. 2024 (arXiv 2406.11695). The search is DSPy's (`bt_core/lm/optimisers/mipro.py`), over this
project's program runs. It starts from the incoming program, so that `g -> m` goes on with the instructions that `g`
found.
"""

import math
from pathlib import Path

from bt_core.config import Config, MiproConfig
from bt_core.engine.base import Engine
from bt_core.lm.optimisers.mipro import MiproSearch
from bt_core.records import StageReport
from bt_core.steps.optimise.candidate_pool import CandidatePool, too_small
from bt_core.steps.optimise.writer import open_writer
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage

#: How many trials on a minibatch lie between two runs on all validation rows, as in the library.
FULL_EVERY = 5
#: How many demonstrations a proposal is informed by where the program gets none, as in the library.
INFORMING_DEMOS = 3


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
    """Choose instructions and demonstrations together; the LM that proposes gets a description of the train split.

    The demo-free program and the incoming prompts are always among the candidates; ties go to the earlier candidate.

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
    """How many combinations the budget allows to try.

    Args:
        settings: the settings of `m`.
        spent: program runs before the search; those of the program to start from are among them.
        rows: how many rows the validation split has.

    Raises:
        ConfigError: when the budget allows none.
    """
    budget = settings.metric_calls - spent
    batch = settings.minibatch if settings.minibatch < rows else 0

    def cost(count: int) -> int:
        return count * batch + math.ceil(count / FULL_EVERY) * rows if batch else count * rows

    if budget < cost(1):
        raise too_small("m", settings.metric_calls, spent + cost(1), "the incoming programs and one combination")
    count = 1
    while cost(count + 1) <= budget:
        count += 1
    return count
