"""The tasks of stages that run in shards, from the paths of a component's artifacts to its report."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bt_core.program import is_same_program
from bt_core.records import StageReport
from bt_core.steps.folders import RowsFolder, SealedFolder
from bt_core.steps.handover import best_program
from bt_core.steps.shards import merge_bootstrap, merge_evaluation, run_shard
from bt_runtime.finish import Metrics, finish_shard
from bt_runtime.reports import read_reports
from bt_runtime.strategy_tasks import Outputs, conclude, finish_traces, traces_folder

Shards = tuple[Sequence[str], Sequence[str]]
"""Path of the artifact with each shard's traces, and the shards' reports as text."""


def run_one(
    program: str, rows: str, stage: str, shard: tuple[int, int], bootstrapping: bool, traces: str, metrics: Metrics
) -> str:
    """Run a program on one shard of a split. Returns the report as text.

    Args:
        program: path of the artifact with the program; the best one in it runs on the test split.
        rows: path of the folder of the split.
        stage: label of the stage.
        shard: the number of the shard, from 0, and the number of shards.
        bootstrapping: run on the train split to gather traces; else on the test split.
        traces: path of the JSONL file to write.
        metrics: the component's metrics output.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    folder = Path(program) if bootstrapping else best_program(Path(program))
    learnable, sealed = RowsFolder(Path(rows)), SealedFolder(Path(rows))
    split, config = (learnable.train, learnable.config) if bootstrapping else (sealed.test, sealed.config)
    return finish_shard(run_shard(folder, split, config, stage, shard, bootstrapping, Path(traces)), metrics)


def merge_train(shards: Shards, program: str, rows: str, stage: str, traces: str, metrics: Metrics) -> str:
    """Merge the traces of all shards into the folder that `run_bootstrap` would have written.

    Raises:
        DataError: when a row has no trace.
    """
    learnable, folder = RowsFolder(Path(rows)), traces_folder(traces)
    report = merge_bootstrap(*_read(shards), learnable.train, learnable.config, stage, folder.traces)
    return finish_traces(report, program, learnable, folder, metrics)


def merge_test(
    vanilla: Shards,
    final: Shards,
    program: str,
    test: str,
    stage: str,
    results: str,
    html: str,
    metrics: Metrics,
) -> str:
    """Compare both programs from the traces of all shards, and conclude the run as `run_evaluate` does.

    Raises:
        DataError: when a row has no trace.
    """
    sealed = SealedFolder(Path(test))
    outputs = Outputs.start(results, html)
    is_same = is_same_program(sealed.vanilla, best_program(Path(program)))
    with TemporaryDirectory() as scratch:
        traces = Path(scratch, "traces.jsonl")
        rows = sealed.test, sealed.config, stage, outputs.answers, traces
        report = merge_evaluation(_read(vanilla), _read(final), is_same, *rows)
        return conclude(report, program, sealed, outputs, metrics, traces)


def _read(shards: Shards) -> tuple[list[Path], list[StageReport]]:
    paths, reports = shards
    return list(map(Path, paths)), read_reports(reports)
