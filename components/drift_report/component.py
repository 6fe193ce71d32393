"""Component: report whether new rows look like earlier ones and whether the champion still scores as it did."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def drift_report(
    rows: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Model],
    incumbent: str,
    config: str,
    stage: str,
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Compare new rows with earlier ones, column by column, and the champion's score with that at its promotion."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.retrain.drift import drift
    from bt_runtime.finish import finish
    from bt_runtime.retraining import promoted_score

    with one_sentence():
        champion_folder = Path(champion.path) if incumbent else None
        report = drift(Path(rows.path), champion_folder, promoted_score(incumbent), read_config(config), stage)
        return finish(report, config, metrics, {})
