"""Component: register the challenger, and promote it, keep it in shadow or drop it."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(
    program: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    comparison: str,
    model: dsl.Output[dsl.Model],
    outcome: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Register the challenger as a model that can be served, and promote it, keep it in shadow or drop it."""
    from bt_core.errors import one_sentence
    from bt_runtime.retrain_tasks import run_promote

    with one_sentence():
        paths = program.path, champion.path, rows.path
        return run_promote(*paths, comparison, model.path, outcome.path, metrics)
