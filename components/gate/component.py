"""Component: end a retraining early where there is nothing to do."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(report: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Return an empty text when the run goes on, else the report that says why it ends here."""
    from bt_core.errors import one_sentence
    from bt_runtime.retrain_tasks import run_gate

    with one_sentence():
        return run_gate(report, metrics)
