"""Component: update the Model Registry after a challenge."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(
    program: dsl.Input[dsl.Model],
    data_report: str,
    comparison: str,
    incumbent: str,
    config: str,
    model: dsl.Output[dsl.Model],
    outcome: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Register the challenger as a model that can be served, and make it the champion if it has won."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_runtime.finish import finish
    from bt_runtime.reports import read_report
    from bt_runtime.retraining import make_model, settle, write_outcome

    with one_sentence():
        compared, settings, challenger = read_report(comparison), read_config(config), Path(program.path)
        report = make_model(challenger, Path(model.path), compared)
        text = finish(report, config, metrics, {"model": model.path})
        decision = settle(read_report(text), read_report(data_report), compared, settings, incumbent, challenger)
        write_outcome(decision, Path(outcome.path))
        return text
