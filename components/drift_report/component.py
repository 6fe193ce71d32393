"""Component: compare new rows with earlier ones."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def drift_report(
    rows: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Model],
    stage: str,
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Compare new rows with earlier ones, column by column, and the champion's score with that after its promotion."""
    from bt_core.errors import one_sentence
    from bt_runtime.retrain_tasks import run_drift

    with one_sentence():
        return run_drift(rows.path, champion.path, stage, metrics)
