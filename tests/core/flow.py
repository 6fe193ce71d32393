"""The steps of a run, called as the components call them, on one engine."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.formats.traces import read_traces
from bt_core.program import Program, read_program
from bt_core.records import StageReport, Trace
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.evaluate import evaluate
from bt_core.steps.handover import hand_over, stage_reports
from bt_core.steps.optimise.gepa_search import gepa_search
from bt_core.steps.optimise.lora_finetune import lora_finetune
from bt_core.steps.optimise.mipro_search import mipro_search
from bt_core.steps.optimise.prompt_search import prompt_search
from bt_core.steps.prepare import prepare
from bt_core.steps.select import Selection, select


@dataclass
class Flow:
    """A run's folder. `engine` None loads the model anew in every step, as components do."""

    folder: Path
    engine: Engine | None
    config: Config
    reports: list[StageReport] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, model: Path, task: str, engine: Engine | None = None, **settings: Any) -> "Flow":
        overrides = {"task": task, "model": str(model), **settings}
        splits = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
        config, report = prepare(overrides, *splits, folder / "vanilla", engine)
        return cls(folder, engine, config, [report])

    def going_on(self, kind: str, engine: Engine | None = None, **settings: Any) -> "Flow":
        """The same run without its reports, on another engine and with other settings of a step kind."""
        section = getattr(self.config, kind).model_copy(update=settings)
        config = self.config.model_copy(update={kind: section})
        return replace(self, engine=engine or self.engine, config=config, reports=[])

    def program(self, name: str, stage: str = "") -> Program:
        """A program that a step wrote; with `stage`, as if its steps had had that label."""
        program = read_program(self.folder / name)
        return replace(program, lineage=tuple(replace(step, stage=stage or step.stage) for step in program.lineage))

    def bootstrap(self, program: str = "vanilla", name: str = "traces") -> list[Trace]:
        report = bootstrap(
            self.folder / program, self._rows("train"), self.config, name, self.folder / name, self.engine
        )
        self.reports.append(report)
        return read_traces(self.folder / name)

    def p(self, program: str = "vanilla", traces: str = "traces", out: str = "p") -> Program:
        return self._optimise(prompt_search, program, traces, out)

    def w(self, program: str = "vanilla", traces: str = "traces", out: str = "w") -> Program:
        return self._optimise(lora_finetune, program, traces, out)

    def g(self, program: str = "vanilla", traces: str = "traces", out: str = "g") -> Program:
        return self._optimise(gepa_search, program, traces, out)

    def m(self, program: str = "vanilla", traces: str = "traces", out: str = "m") -> Program:
        return self._optimise(mipro_search, program, traces, out)

    def select(self, program: str, optimised: str) -> Selection:
        """Keep the best program so far beside the one that a step made of `program`."""
        start, result = self.folder / program, self.folder / optimised
        selection = select(start, result, self.config)
        hand_over(result, stage_reports(start), selection.best)
        return selection

    def evaluate(self, program: str, out: str = "results.jsonl") -> StageReport:
        folders = (self.folder / "vanilla", self.folder / program, self._rows("test"))
        return evaluate(*folders, self.config, "evaluate", self.folder / out, self.engine)

    @property
    def last(self) -> StageReport:
        return self.reports[-1]

    def _optimise(self, step: Any, program: str, traces: str, out: str) -> Program:
        inputs = (self.folder / program, self.folder / traces, self._rows("train"), self._rows("val"))
        self.reports.append(step(*inputs, self.config, out, self.folder / out, self.engine))
        return read_program(self.folder / out)

    def _rows(self, split: str) -> Path:
        return self.folder / f"{split}.jsonl"
