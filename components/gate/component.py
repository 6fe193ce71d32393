"""Component: leave out what a retraining need not do, all the rest of it or its steps."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(report: str, closed_by: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Return an empty text when the gate is open, else the report that says why it is closed."""
    from bt_core.errors import one_sentence
    from bt_runtime.retrain_tasks import run_gate

    with one_sentence():
        return run_gate(report, closed_by, metrics)
