"""`g`: GEPA, instructions that evolve by reflection on what went wrong (Agrawal et al. 2025, arXiv 2507.19457).

The search is that of the `gepa` library, over this project's program runs. It starts from the incoming program, whose
demonstrations every candidate keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.lm.optimisers.instruction_writer import InstructionWriter, faults_pass, library
from bt_core.program import Program
from bt_core.records import Row, StageReport, Trace, row_id
from bt_core.steps.optimise.candidate_pool import CandidatePool, too_small
from bt_core.steps.optimise.writer import open_writer
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage

#: On how many rows GEPA compares a merged candidate before it runs it on all of them.
MERGE_ROWS = 5


def gepa_search(
    program: Path,
    traces: Path,
    train: Path,
    val: Path,
    config: Config,
    stage: str,
    optimised: Path,
    engine: Engine | None = None,
) -> StageReport:
    """Evolve the instructions by reflecting on train rows, and choose among them on the validation split.

    The demo-free program and the incoming prompts are always among the candidates; ties go to the earlier candidate.

    Raises:
        BtError: when an input is not usable, the budget allows no try, or the engine or the library failed.
    """
    opened = Stage.open(stage, "g", program, config)
    session = Session(opened, engine)
    pool = CandidatePool.open(session, traces, train, val)
    start, outcome = _start(pool)
    round_runs = _round_runs(pool, is_baseline=start == opened.program)
    pool.add_baselines()
    with open_writer(session, config.g) as writer:
        _evolve(pool, start, writer, round_runs)
    return pool.conclude(config.g, writer, optimised, outcome)


def _start(pool: CandidatePool) -> tuple[Program, str]:
    """The program to start from, with new demonstrations if `g.max_demos` asks for them, and what it lacks."""
    program, max_demos = pool.stage.program, pool.stage.config.g.max_demos
    if not max_demos:
        return program, ""
    demo_sets = pool.demo_sets(1, max_demos)
    if not demo_sets:
        return program, "no trace passed, so there were no demonstrations to give"
    states = {
        name: replace(state, demos=tuple(demo_sets[0].get(name, ()))) for name, state in program.predictors.items()
    }
    return replace(program, predictors=states), ""


def _round_runs(pool: CandidatePool, is_baseline: bool) -> int:
    """How many program runs a round takes at most.

    These are a merge that is tried first, parent and child on a minibatch, and the child on all validation rows.

    Raises:
        ConfigError: when the budget does not allow a single round.
    """
    settings, rows = pool.stage.config.g, len(pool.val)
    round_runs = MERGE_ROWS * settings.merge + 2 * settings.minibatch + rows
    needed = pool.baseline_runs + (0 if is_baseline else rows) + round_runs
    if settings.metric_calls < needed:
        spent_on = "the incoming programs and a new one on all validation rows, and minibatches"
        raise too_small("g", settings.metric_calls, needed, spent_on)
    return round_runs


def _evolve(pool: CandidatePool, start: Program, writer: InstructionWriter, round_runs: int) -> None:
    """Run GEPA until another round could exceed the budget, by our count or by the library's."""
    stage, settings = pool.stage, pool.stage.config.g

    def is_spent(state: Any) -> bool:
        # The library's own count also grows for runs that the pool remembers, so that the search always ends.
        return bool(max(pool.runs, state.total_num_evals) + round_runs > settings.metric_calls)

    with library("GEPA", stage.name):
        gepa.optimize(
            seed_candidate={name: state.instructions for name, state in start.predictors.items()},
            trainset=list(pool.train),
            valset=list(pool.val),
            adapter=_Adapter(pool, start),
            reflection_lm=writer,
            reflection_minibatch_size=settings.minibatch,
            use_merge=settings.merge,
            stop_callbacks=is_spent,
            logger=_Silent(),
            track_best_outputs=False,
            seed=stage.config.seed,
        )


class _Adapter:
    """The program as GEPA sees it: a text for each predictor, scores on rows, and feedback to reflect on."""

    propose_new_texts = None  # GEPA asks for new texts with its own prompt

    def __init__(self, pool: CandidatePool, start: Program) -> None:
        self.pool, self.start = pool, start
        self._train = {row_id(row) for row in pool.train}

    def evaluate(
        self, batch: list[Row], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[tuple[Row, Trace], Any]:
        """Run a candidate on rows; a row that fails scores 0."""
        with faults_pass():
            reflecting = all(row_id(row) in self._train for row in batch)  # the others are never reflected on
            traces = self.pool.run(self._program(candidate), batch, reflecting)
        return EvaluationBatch(
            outputs=[trace.prediction for trace in traces],
            scores=[trace.score for trace in traces],
            trajectories=list(zip(batch, traces, strict=True)) if capture_traces else None,
        )

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[tuple[Row, Trace], Any],
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Predictor -> its calls, each with inputs, outputs, and feedback."""
        return {
            name: [
                {
                    "Inputs": call.inputs,
                    "Generated Outputs": call.outputs,
                    "Feedback": self._feedback(row, trace, name),
                }
                for row, trace in eval_batch.trajectories or ()
                for call in trace.calls
                if call.predictor == name
            ]
            for name in components_to_update
        }

    def _program(self, candidate: Mapping[str, str]) -> Program:
        """The candidate as a program; where the writer returned an empty text, the instruction stays."""
        states = {
            name: replace(state, instructions=candidate[name].strip() or state.instructions)
            for name, state in self.start.predictors.items()
        }
        return replace(self.start, predictors=states)

    def _feedback(self, row: Row, trace: Trace, predictor: str) -> str:
        """The result of the whole program, and what the metric said about it, or about the predictor."""
        right = "; ".join(f"{name} = {row[name]}" for name in self.pool.stage.task.labels if name in row)
        predicted = "; ".join(f"{name} = {value}" for name, value in trace.prediction.items())
        parts = [
            f"The whole program scored {trace.score:g} of 1.",
            f"It ended with {predicted}." if predicted else "",
            f"Right is {right}." if right and trace.score < 1.0 else "",
            f"It failed: {trace.error}" if trace.error else "",
            trace.feedback.get(predictor) or trace.feedback.get("", ""),
        ]
        return " ".join(part for part in parts if part)


class _Silent:
    """Drops GEPA's log, which repeats every candidate in full; the report's note has the candidates that count."""

    def log(self, message: str) -> None:
        pass
