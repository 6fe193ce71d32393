"""Component: read the newest data of a retraining, and fetch the champion."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fresh_data(
    task: str,
    seed: int,
    model: str,
    data: str,
    config: str,
    rows: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    program: dsl.Output[dsl.Model],
    champion: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Read the newest data, keep sealed rows sealed, and report whether there is enough to do."""
    from bt_core.errors import one_sentence
    from bt_runtime.parameters import overrides
    from bt_runtime.retrain_tasks import run_fresh

    with one_sentence():
        settings = overrides(config, task, model, data, seed)
        return run_fresh(settings, program.path, champion.path, rows.path, test.path, metrics)
