"""Component: score the vanilla and the best program on the test split, and sum up the run."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    program: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    stage: str,
    results: dsl.Output[dsl.Model],
    html: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Score both programs on the sealed test split, once, and register the best program in MLflow."""
    from bt_core.errors import one_sentence
    from bt_runtime.strategy_tasks import run_evaluate

    with one_sentence():
        return run_evaluate(program.path, test.path, stage, results.path, html.path, metrics)
