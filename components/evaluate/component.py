"""Component: score the vanilla and the final program on the test split."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    vanilla: dsl.Input[dsl.Model],
    program: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Score the vanilla and the final program on the sealed test split, once, with a paired interval."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.evaluate import evaluate as compare
    from bt_runtime.finish import finish

    with one_sentence():
        inputs = Path(vanilla.path), Path(program.path), Path(test.path)
        report = compare(*inputs, read_config(config), stage, Path(results.path))
        return finish(report, config, metrics, {"results.jsonl": results.path}, {"test": test.path})
