"""DSPy's MIPROv2 (Opsahl-Ong et al. 2024, arXiv 2406.11695) over this project's program runs.

The library proposes the instructions and chooses what to try (by Optuna's TPE sampler). Two of its parts are replaced.
Demonstrations come from the program's own traces instead of the library's bootstrapping. Every candidate is run by our
runner: all rows in one batch, each module with its adapter, and a failing row scores 0. The library's own evaluation
calls the LM from threads, so that its batches, and with them the rounding, depend on timing.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dspy

from bt_core.config import MiproConfig
from bt_core.lm.modules import adapter_of, predictors_of
from bt_core.lm.optimisers.instruction_writer import InstructionWriter, faults_pass, library
from bt_core.program import Demos, Program
from bt_core.records import Row
from bt_core.task import Task

Score = Callable[[Program, Sequence[Row]], float]
"""Mean score of a program on rows, in [0, 1]."""

#: Marks a demonstration that a program made itself; MIPROv2 shows only these to the LM that proposes.
_OWN = "augmented"


@dataclass(frozen=True)
class MiproSearch:
    """A search, ready to run.

    Attributes:
        stage: label of the task in the DAG, for errors.
        task: gives module and prompt format.
        program: where the search starts; its instructions are each predictor's first candidate.
        demo_sets: the sets of demonstrations to choose from; no demonstrations is always a choice too.
        settings: the settings of `m`.
        trials: how many combinations to try.
        seed: that of the proposals and of the sampler.
    """

    stage: str
    task: Task
    program: Program
    demo_sets: Sequence[Demos]
    settings: MiproConfig
    trials: int
    seed: int

    def run(self, train: Sequence[Row], val: Sequence[Row], score: Score, writer: InstructionWriter) -> None:
        """Run the search; `score` is called with every program that it tries.

        Args:
            train: rows that are described to the LM that proposes.
            val: rows on which programs are scored.
            score: runs a program and gives its mean score.
            writer: the LM that proposes.

        Raises:
            BtError: when the engine or the library failed.
        """
        inputs = self.task.inputs
        examples = [[dspy.Example(row).with_inputs(*inputs) for row in rows] for rows in (train, val)]
        scorer = _Scorer(self.program, dict(zip(map(id, examples[1]), val, strict=True)), score)
        lm = writer.lm
        demos = self.settings.max_demos
        with library("MIPROv2", self.stage), _quiet(), dspy.context(lm=lm, adapter=adapter_of(self.task)):
            search = _Mipro(
                metric=self.task.metric,
                prompt_model=lm,
                task_model=lm,
                max_bootstrapped_demos=demos,
                max_labeled_demos=0,
                auto=None,
                num_candidates=self.settings.candidates,
                seed=self.seed,
                init_temperature=self.settings.temperature,
                track_stats=False,
            )
            search.scorer, search.demo_sets = scorer, self.demo_sets
            search.compile(
                _module(self.task, self.program),
                trainset=examples[0],
                valset=examples[1],
                num_trials=self.trials,
                minibatch=0 < self.settings.minibatch < len(val),
                minibatch_size=self.settings.minibatch,
                program_aware_proposer=self.settings.read_program,
            )


class _Mipro(dspy.MIPROv2):
    """MIPROv2 with demonstrations from traces, and with programs run by our runner."""

    scorer: "_Scorer"
    demo_sets: Sequence[Demos]

    def _bootstrap_fewshot_examples(self, program: Any, *args: Any, **kwargs: Any) -> list[list[list[Any]]] | None:
        """For each predictor a list of sets of demonstrations, of which the first is empty."""
        if not self.demo_sets:
            return None
        return [
            [[], *([dspy.Example({**demo, _OWN: True}) for demo in one.get(name, ())] for one in self.demo_sets)]
            for name in predictors_of(program)
        ]

    def _optimize_prompt_parameters(
        self, program: Any, instructions: Any, demos: Any, evaluate: Any, *args: Any, **kwargs: Any
    ) -> Any:
        return super()._optimize_prompt_parameters(program, instructions, demos, self.scorer, *args, **kwargs)


@dataclass(frozen=True)
class _Scorer:
    """Takes the place of the `dspy.Evaluate` that MIPROv2 calls."""

    program: Program
    rows: Mapping[int, Row]
    score: Score

    def __call__(self, module: Any, devset: Sequence[Any], callback_metadata: Any = None) -> Any:
        states = {
            name: replace(
                self.program.predictors[name],
                instructions=predictor.signature.instructions,
                demos=tuple({key: value for key, value in demo.items() if key != _OWN} for demo in predictor.demos),
            )
            for name, predictor in predictors_of(module).items()
        }
        with faults_pass():
            mean = self.score(replace(self.program, predictors=states), [self.rows[id(one)] for one in devset])
        return dspy.Prediction(score=100.0 * mean, results=[])


def _module(task: Task, program: Program) -> Any:
    """The task's module with the program's prompts; it has no LM, since it is never run."""
    module = task.program()
    for name, predictor in predictors_of(module).items():
        state = program.predictors[name]
        predictor.signature = predictor.signature.with_instructions(state.instructions)
        predictor.demos = [dspy.Example(demo) for demo in state.demos]
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Log only DSPy's errors: it logs every candidate in full, and warns about its own prompts."""
    logger = logging.getLogger("dspy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
