"""Component: decide whether a retraining goes on."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(report: str, config: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    """Return an empty text when the run goes on, else the report that says why it ends here."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.retrain.fresh import REASON
    from bt_runtime.reports import read_report
    from bt_runtime.retraining import stop_early

    with one_sentence():
        reason = read_report(report).params[REASON]
        stop_early(read_config(config), reason)
        Path(metrics.path).write_text("{}", encoding="utf-8")
        return report if reason else ""
