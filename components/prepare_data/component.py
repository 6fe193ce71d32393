"""Component: turn settings into checked splits and the vanilla program."""

from typing import NamedTuple

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(
    task: str,
    seed: int,
    data_seed: int,
    model: str,
    data: str,
    train_rows: int,
    val_rows: int,
    test_rows: int,
    config: str,
    train: dsl.Output[dsl.Dataset],
    val: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    program: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Outputs", [("config", str), ("report", str)]):  # type: ignore[valid-type]
    """Load a task's rows, split and check them, and write the vanilla program and the merged configuration."""
    from pathlib import Path

    from bt_core.errors import one_sentence
    from bt_core.steps.prepare import prepare
    from bt_runtime.finish import finish
    from bt_runtime.parameters import overrides

    with one_sentence():
        rows = {"train": train_rows, "val": val_rows, "test": test_rows}
        settings = overrides(config, task, model, data, seed, data_seed, rows)
        splits = {"train": train.path, "val": val.path, "test": test.path}
        paths = Path(train.path), Path(val.path), Path(test.path)
        resolved, report = prepare(settings, *paths, Path(program.path))
        merged = resolved.model_dump_json()
        return merged, finish(report, merged, metrics, {"program": program.path}, splits)
