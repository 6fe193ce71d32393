"""The candidates of a search by another library: each is run once on a row, and they are compared on validation.

The library decides what to try. Which candidate is kept is decided here, as in `p`: the best on all validation rows,
the earlier on ties, with the demo-free program always among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bt_core.config import WriterConfig
from bt_core.errors import ConfigError
from bt_core.formats.traces import read_traces
from bt_core.lm.optimisers.instruction_writer import InstructionWriter
from bt_core.lm.states import vanilla_states
from bt_core.program import Demos, Program, write_program
from bt_core.records import Row, StageReport, Trace, canonical_json, read_jsonl, row_id
from bt_core.steps.optimise.candidates import candidates
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.trace_summary import failures, mean_score

#: How many characters of an instruction the note shows.
SHOWN = 160


@dataclass
class CandidatePool:
    """The programs that a search tried, in order, and the traces of all their runs.

    Args:
        session: runs the programs.
        train: inputs for label priors, where the configuration asks for them.
        val: rows on which candidates are compared.
        passing: traces that reach the threshold, for demonstrations.
    """

    session: Session
    train: Sequence[Row]
    val: Sequence[Row]
    passing: Sequence[Trace]
    _programs: dict[str, Program] = field(default_factory=dict)
    _traces: dict[tuple[str, str], Trace] = field(default_factory=dict)

    @classmethod
    def open(cls, session: Session, traces: Path, train: Path, val: Path) -> "CandidatePool":
        """An empty pool over the inputs of the session's stage.

        Raises:
            DataError: when one of the files is not usable.
        """
        threshold = session.stage.config.bootstrap.threshold
        passing = [trace for trace in read_traces(traces) if trace.score >= threshold]
        return cls(session, read_jsonl(train), read_jsonl(val), passing)

    @property
    def stage(self) -> Stage:
        return self.session.stage

    @property
    def runs(self) -> int:
        """Program runs so far; a candidate is run only once on the same row."""
        return len(self._traces)

    @property
    def baseline_runs(self) -> int:
        """Program runs that `add_baselines` takes."""
        return len(baselines(self.stage)) * len(self.val)

    def add_baselines(self) -> None:
        """Score what every search is measured against: the demo-free program, and the incoming prompts."""
        for program in baselines(self.stage):
            self.run(program, self.val)

    def run(self, program: Program, rows: Sequence[Row], reflecting: bool = False) -> list[Trace]:
        """The candidate's traces on the rows; rows that it was run on before are not run again.

        Args:
            program: the candidate.
            rows: the rows.
            reflecting: whether the metric is asked for feedback on single predictors, too.

        Raises:
            BtError: when the engine failed or the metric returned no score in [0, 1].
        """
        key = _prompts(program)
        if key not in self._programs:
            label = f"{self.stage.name} calibrate"
            (self._programs[key],) = self.session.runner.calibrate([program], self.train, label)
        missing = {row_id(row): row for row in rows if (key, row_id(row)) not in self._traces}
        if missing:
            label = f"{self.stage.name} candidate {len(self._programs) - 1}"
            traces = self.session.runner.run(self._programs[key], list(missing.values()), label, reflecting=reflecting)
            self._traces.update(zip(((key, name) for name in missing), traces, strict=True))
        return [self._traces[key, row_id(row)] for row in rows]

    def score(self, program: Program, rows: Sequence[Row]) -> float:
        """The candidate's mean score on the rows."""
        return mean_score(self.run(program, rows))

    def demo_sets(self, count: int, size: int) -> list[Demos]:
        """Up to `count` different sets of demonstrations, as `p` would try them, at most `size` for each predictor."""
        stage = self.stage
        settings = stage.config.p.model_copy(update={"candidates": count, "max_demos": size})
        config = stage.config.model_copy(update={"p": settings})
        programs = candidates(stage.program, vanilla_states(stage.task), self.passing, config)
        with_demos = programs[len(baselines(stage)) :]
        return [{name: state.demos for name, state in program.predictors.items()} for program in with_demos]

    def conclude(
        self, search: WriterConfig, writer: InstructionWriter, optimised: Path, outcome: str = ""
    ) -> StageReport:
        """Write the best candidate's program, and report on all that were scored on every validation row.

        Args:
            search: the search's settings, for the lineage.
            writer: the LM that wrote instructions.
            optimised: the program directory to write.
            outcome: what the search had to do without, if anything.
        """
        stage = self.stage
        settings = search.model_dump(mode="json") | {"threshold": stage.config.bootstrap.threshold}
        ranked = [program for program in self._programs.values() if self._is_complete(program)]
        means = [self.score(program, self.val) for program in ranked]
        best = means.index(max(means))
        before = self.score(stage.program, self.val) if stage.val_score is None else stage.val_score
        program = stage.with_step(ranked[best], settings, before, means[best], outcome)
        write_program(program, optimised, stage.adapter_folders())
        warnings = [f"{stage.name}: {outcome}."] if outcome else []
        if writer.refused:
            warnings.append(
                f"{stage.name}: {len(writer.refused)} of {writer.calls} prompts for new instructions got no answer, the"
                f" first because {writer.refused[0]}"
            )
        return self.session.report(
            params=settings,
            metrics={
                "val/score": means[best],
                "val/score_before": before,
                "search/candidates": float(len(ranked)),
                "search/chosen": float(best),
                "search/demos": float(ranked[best].demo_count),
                "search/runs": float(self.runs),
                "search/written": float(writer.calls),
            },
            series={"search/score": list(enumerate(means))},
            warnings=(*warnings, *failures(self.run(ranked[best], self.val))),
            note=_note(ranked, means, best),
        )

    def _is_complete(self, program: Program) -> bool:
        key = _prompts(program)
        return all((key, row_id(row)) in self._traces for row in self.val)


def baselines(stage: Stage) -> list[Program]:
    """The demo-free program, the task's own prompts and the incoming ones, where they differ."""
    return candidates(stage.program, vanilla_states(stage.task), (), stage.config)


def too_small(kind: str, budget: int, needed: int, spent_on: str) -> ConfigError:
    """The error for a budget that is too small for a single try."""
    return ConfigError(
        f"`{kind}.metric_calls` is {budget}, and one try takes {needed} program runs ({spent_on}): raise it, or use"
        " fewer validation rows."
    )


def _prompts(program: Program) -> str:
    return canonical_json({name: [state.instructions, state.demos] for name, state in program.predictors.items()})


def _note(ranked: Sequence[Program], means: Sequence[float], best: int) -> str:
    lines = ["| candidate | demos | validation | instructions |", "|---|---|---|---|"]
    for index, (program, mean) in enumerate(zip(ranked, means, strict=True)):
        mark = " **chosen**" if index == best else ""
        texts = "; ".join(f"{name}: {_shown(state.instructions)}" for name, state in program.predictors.items())
        lines.append(f"| {index}{mark} | {program.demo_count} | {mean:.3f} | {texts} |")
    return "\n".join(lines)


def _shown(text: str) -> str:
    """An instruction, shortened and escaped for a cell of a Markdown table."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
