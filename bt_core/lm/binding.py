"""Binding: make a module of the task that runs a program state on an engine.

Every predictor's calls go through one engine that knows the predictor's adapter and closed answers, so that no call
can reach other weights than those that the program names (the released DSPy optimiser scores on the global LM instead).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from bt_core.config import Decoding
from bt_core.engine.base import EngineAdapter, Request, Sampling
from bt_core.lm.modules import adapter_of, closed_values, fresh_program
from bt_core.lm.program_engine import ProgramEngine, Refuse, Submit
from bt_core.lm.recording import NAME
from bt_core.lm.states import check_fit
from bt_core.lm.values import typed
from bt_core.program import PredictorState, Program
from bt_core.task import Task


@dataclass(frozen=True)
class Binding:
    """Makes modules of one task that run program states.

    Attributes:
        task: makes the modules.
        folder: where the programs' adapters lie.
        submit: sends a request and waits for its answer.
        refuse: called with the reason why a call cannot be served, before that is raised inside the program.
    """

    task: Task
    folder: Path
    submit: Submit
    refuse: Refuse

    def module(self, program: Program, decoding: Decoding, seed: int) -> Any:
        """Make a module with the program's prompts, each predictor calling through `submit`.

        Args:
            program: the state to run.
            decoding: how answers are decoded.
            seed: that of sampled answers.

        Raises:
            ProgramError: when the program was made for other predictors or fields than the task has now.
        """
        module, predictors = fresh_program(self.task)
        check_fit(self.task, module, program)
        adapter = adapter_of(self.task)
        free = Request(messages=(), sampling=Sampling(top_p=decoding.top_p, stop=decoding.stop, seed=seed))
        templates = {
            name: self._template(predictor, program.predictors[name], adapter, decoding, free)
            for name, predictor in predictors.items()
        }
        lm = _lm(program, decoding, ProgramEngine(templates, free, self.submit, self.refuse))
        for name, predictor in predictors.items():
            state = program.predictors[name]
            setattr(predictor, NAME, name)
            predictor.signature = predictor.signature.with_instructions(state.instructions)
            predictor.demos = [dspy.Example(typed(predictor.signature, demo)) for demo in state.demos]
            predictor.lm = lm
        return module

    def _template(
        self, predictor: Any, state: PredictorState, adapter: Any, decoding: Decoding, free: Request
    ) -> Request:
        """The predictor's request without its messages: adapter, sampling and closed answers."""
        values = closed_values(predictor) if decoding.closed != "free" else ()
        output = next(iter(predictor.signature.output_fields))
        labels = tuple(
            adapter.format_assistant_message_content(predictor.signature, {output: value}).rstrip() for value in values
        )
        prior = tuple((state.label_prior or {}).get(str(value), 0.0) for value in values)
        return replace(
            free,
            adapter=EngineAdapter(self.folder / state.adapter.path, state.adapter.sha256) if state.adapter else None,
            labels=labels,
            label_prior=prior,
            walk=decoding.closed == "greedy",
            whole=decoding.closed == "whole",
        )


def _lm(program: Program, decoding: Decoding, engine: ProgramEngine) -> Any:
    return dspy.LM(
        model=f"bt/{program.model}",
        engine=engine,
        async_engine=engine.in_coroutines,
        cache=False,  # DSPy's cache does not know which adapter answered
        num_retries=0,
        temperature=decoding.temperature,
        max_tokens=decoding.max_tokens,
    )
