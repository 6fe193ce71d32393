"""What every step that runs a program shares: opening its inputs, and writing its report."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.cache_keys import answers_identity
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.engine.response_cache import CachedEngine, ResponseStore, cache_folder
from bt_core.lm.runner import Runner
from bt_core.models import resolve_model
from bt_core.program import LineageStep, Program, program_sha256, read_program
from bt_core.records import Row, StageReport, Trace, Usage
from bt_core.task import Task, load_task


@dataclass
class Stage:
    """An opened step: its program, its task, and a runner on its engine."""

    name: str
    kind: str
    config: Config
    folder: Path
    program: Program
    task: Task
    started: float
    given: Engine | None = None
    spent: Usage = field(default_factory=Usage)
    _runner: Runner | None = None

    @classmethod
    def open(cls, name: str, kind: str, folder: Path, config: Config, engine: Engine | None = None) -> "Stage":
        """Read the program and import its task; the base model is loaded when it is first needed.

        Args:
            name: label of the task in the DAG.
            kind: `bootstrap`, `p`, `w`, `evaluate`.
            folder: the program directory.
            config: the run's merged configuration.
            engine: one that is already loaded; else the base model named by the program is.

        Raises:
            ProgramError, TaskError: when an input is not usable.
        """
        program = read_program(folder)
        task = load_task(program.task, program.task_settings)
        return cls(name, kind, config, folder, program, task, time.time(), engine)

    @property
    def runner(self) -> Runner:
        """Runs program states whose adapters lie in the incoming program's folder."""
        if self._runner is None:
            engine = self.given or open_engine(self.program, self.config)
            self._runner = Runner(self.task, self.config, engine, self.folder)
        return self._runner

    def close_engine(self) -> None:
        """Give the model's memory back (training needs it); what was spent stays counted."""
        if self._runner is not None:
            self.spent += self._runner.usage
            if self.given is None:
                self._runner.engine.close()
            self._runner = None
            gc.collect()

    def make_room(self) -> None:
        """Give back the memory of an engine that several steps share, which loads its model again when asked."""
        if isinstance(self.given, LazyEngine):
            self.given.close()

    def report(self, **parts: Any) -> StageReport:
        """The report of this step, with what the engine spent since it was opened."""
        self.close_engine()
        return StageReport(self.name, self.kind, usage=self.spent, started=self.started, ended=time.time(), **parts)

    def grown(
        self, program: Program, settings: dict[str, Any], before: float, after: float, outcome: str = ""
    ) -> Program:
        """`program` with this step appended to its lineage; a teacher who made its traces is named there."""
        teacher = self.config.teacher.model
        step = LineageStep(
            kind=self.kind,
            stage=self.name,
            seed=self.config.seed,
            config=settings | ({"teacher": teacher} if teacher else {}),
            parent=program_sha256(self.folder),
            val_before=before,
            val_after=after,
            outcome=outcome,
        )
        return replace(program, lineage=(*self.program.lineage, step))

    def adapter_folders(self) -> dict[str, Path]:
        """Where the program's adapters lie, for writing a program that keeps them."""
        return {path: self.folder / path for path in self.program.adapters}

    @property
    def known_val(self) -> float | None:
        """The incoming program's validation score, where its lineage has it."""
        return self.program.lineage[-1].val_after if self.program.lineage else None

    def val_before(self, val: Sequence[Row]) -> float:
        """The incoming program's validation score: from its lineage, or measured where it has none."""
        if self.known_val is not None:
            return self.known_val
        return mean_score(self.runner.run(self.program, val, f"{self.name} val before"))


def open_engine(program: Program, config: Config) -> Engine:
    """An engine on the base model that the program was made for.

    With a cache folder it is one that loads the model only when a call's answer is not there.
    """
    folder = cache_folder()
    if folder is None:
        return load_engine(program, config)
    identity = answers_identity(program.model, program.model_revision, config.engine)
    return CachedEngine(partial(load_engine, program, config), ResponseStore(folder), identity)


def load_engine(program: Program, config: Config) -> Engine:
    """Load the base model that the program was made for, or find it at the endpoint (`engine.kind`)."""
    settings = config.engine
    if settings.kind == "server" and settings.protocol == "chat":
        from bt_core.engine.remote.chat_engine import ChatEngine

        return ChatEngine(program.model, settings)
    base = resolve_model(program.model, program.model_revision)
    if settings.kind == "server":
        from bt_core.engine.remote.server_engine import ServerEngine

        return ServerEngine(base, settings)
    if settings.kind == "vllm":
        from bt_core.engine.local.vllm_engine import VllmEngine

        return VllmEngine(base, settings, settings.lora_rank or config.w.rank)
    from bt_core.engine.local.transformers_engine import TransformersEngine

    return TransformersEngine(base, settings)


def mean_score(traces: Sequence[Trace]) -> float:
    return sum(trace.score for trace in traces) / len(traces)


def failures(traces: Sequence[Trace]) -> tuple[str, ...]:
    """A warning sentence when runs raised: how many, and the first reason."""
    failed = [trace for trace in traces if trace.error]
    if not failed:
        return ()
    reason = str(failed[0].error).splitlines()[0][:160]
    remedy = ""
    if "AdapterParseError" in reason:
        remedy = (
            "; a small model follows `adapter=LineAdapter` better, and a cut answer needs more `decoding.max_tokens`"
        )
    first = f"the first ({failed[0].example}) by {reason}"
    return (f"{len(failed)} of {len(traces)} examples failed and scored 0, {first}{remedy}",)


def answer_share(traces: Sequence[Trace]) -> dict[str, dict[str, float]]:
    """Per predictor with closed answers: the share of each answer among the traces' calls."""
    counts: dict[str, dict[str, int]] = {}
    for trace in traces:
        for call in trace.calls:
            if call.label_logprobs:
                seen = counts.setdefault(call.predictor, dict.fromkeys(call.label_logprobs, 0))
                answer = str(next(iter(call.outputs.values())))
                seen[answer] = seen.get(answer, 0) + 1
    return {name: {label: count / sum(seen.values()) for label, count in seen.items()} for name, seen in counts.items()}
