"""Component: settings in, checked splits and the vanilla program out."""

from typing import NamedTuple

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(
    task: str,
    seeds: list[int],
    model: str,
    data: str,
    rows: list[int],
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
    from bt_runtime.finish import finish, overrides

    with one_sentence():
        wanted = overrides(task, seeds, model, data, rows, config)
        splits = {"train": train.path, "val": val.path, "test": test.path}
        paths = Path(train.path), Path(val.path), Path(test.path)
        resolved, report = prepare(wanted, *paths, Path(program.path))
        merged = resolved.model_dump_json()
        return merged, finish(report, merged, metrics, {"program": program.path}, splits)
