"""The tasks of a run, called as their components call them, with steps that are done at once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config
from bt_core.program import PredictorState, Program, write_program
from bt_core.records import StageReport
from bt_core.steps.folders import RowsFolder, TracesFolder
from bt_core.steps.stage import Stage
from bt_runtime.strategy_tasks import run_prepare, run_step
from tests.runtime.test_finish import RecordedMetrics

TASK = "tests.core.toy:task"
ROWS = {"train": 6, "val": 4, "test": 4}


def step_to(kind: str, after: float) -> Callable[..., StageReport]:
    """A stage function that changes the instructions, and says that the program then scores `after` on validation."""

    def optimise(
        program: Path, traces: Path, train: Path, val: Path, config: Config, stage: str, optimised: Path, **_: Any
    ) -> StageReport:
        assert traces.parent.is_dir()
        assert train.is_file()
        assert val.is_file()
        opened = Stage.open(stage, kind, program, config)
        before = opened.val_score or 0.5
        changed = replace(opened.program, predictors=_reworded(opened.program, stage))
        write_program(opened.with_step(changed, {}, before, after), optimised)
        scores = {"val/score": after, "val/score_before": before}
        return StageReport(stage, kind, metrics=scores, note="Words.", started=1.0, ended=2.0)

    return optimise


def _reworded(program: Program, stage: str) -> dict[str, PredictorState]:
    return {
        name: replace(state, instructions=f"{state.instructions} {stage}") for name, state in program.predictors.items()
    }


@dataclass
class Tasks:
    """The folder of a run's artifacts, and the metrics that its tasks showed."""

    folder: Path
    model: Path
    settings: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, dict[str, float]] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """The path of an artifact."""
        return str(self.folder / name)

    def metrics(self, name: str) -> RecordedMetrics:
        """The metrics output of a task."""
        metrics = RecordedMetrics(self.folder / f"{name}.metrics")
        self.shown[name] = metrics.logged
        return metrics

    def prepare(self, **settings: Any) -> str:
        """Write the artifacts `program`, `rows` and `test`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        given = {"task": TASK, "model": str(self.model), "rows": ROWS, **self.settings, **settings}
        return run_prepare(given, *map(self.path, ("program", "rows", "test")), self.metrics("prepare"))

    def traces(self, name: str, stage: str = "1.bootstrap") -> None:
        """Write a folder of traces without a trace."""
        traces = TracesFolder(self.folder / name)
        traces.path.mkdir()
        traces.traces.touch()
        counts = {"traces/kept": 2.0, "traces/total": 6.0}
        report = StageReport(stage, "bootstrap", metrics=counts, started=0.5, ended=1.0)
        traces.write(report, RowsFolder(self.folder / "rows"))

    def step(self, kind: str, after: float, stage: str, program: str = "program", out: str = "") -> str:
        """A step and its bootstrap; the program is in the artifact `out`, or in the one named like the stage."""
        bootstrap = f"{out or stage}.traces"
        self.traces(bootstrap, f"{stage.split('.')[0]}.bootstrap")
        inputs = *map(self.path, (program, bootstrap)), stage, self.path(out or stage)
        return run_step(step_to(kind, after), *inputs, self.metrics(stage))


def files(folder: str | Path) -> dict[str, bytes]:
    """What the files of a folder hold."""
    root = Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
