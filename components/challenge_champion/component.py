"""Component: compare champion and challenger on the same fresh sealed rows."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def challenge_champion(
    champion: dsl.Input[dsl.Model],
    challenger: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    incumbent: str,
    config: str,
    stage: str,
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Score both programs on sealed rows that no run has compared on, and decide by a paired comparison."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.retrain.challenge import challenge
    from bt_runtime.finish import finish

    with one_sentence():
        inputs = Path(champion.path), Path(challenger.path), Path(test.path)
        report = challenge(*inputs, read_config(config), not incumbent, stage, Path(results.path))
        return finish(report, config, metrics, {"results.jsonl": results.path}, {"test": test.path})
