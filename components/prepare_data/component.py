"""Component: turn settings into checked splits and the vanilla program."""

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
    rows: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    program: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Load a task's rows, split and check them, and write the vanilla program and the merged configuration."""
    from bt_core.errors import one_sentence
    from bt_runtime.parameters import overrides
    from bt_runtime.strategy_tasks import run_prepare

    with one_sentence():
        sizes = {"train": train_rows, "val": val_rows, "test": test_rows}
        settings = overrides(config, task, model, data, seed, data_seed, sizes)
        return run_prepare(settings, program.path, rows.path, test.path, metrics)
