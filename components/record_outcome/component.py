"""Component: the exit handler of a retraining."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record_outcome(task: str, status: dsl.PipelineTaskFinalStatus, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Record how a run ended, even if it failed, and send it to the webhook in BT_WEBHOOK_URL if there is one."""
    from pathlib import Path

    from bt_core.errors import one_sentence
    from bt_runtime.reports import write_report
    from bt_runtime.retraining import end

    with one_sentence():
        Path(metrics.path).write_text("{}", encoding="utf-8")
        return write_report(end(task, status.state, status.error_message))
