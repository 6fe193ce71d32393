"""Component: run every step of a strategy in one pod."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def optimise(
    program: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    strategy: str,
    optimised: dsl.Output[dsl.Model],
    stages: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run every step of a strategy on one loaded model, and keep the best program by validation."""
    from bt_core.errors import one_sentence
    from bt_runtime.strategy_tasks import run_chain
    from bt_runtime.trainjob import remote_training

    with one_sentence():
        paths = program.path, rows.path, strategy, optimised.path, stages.path
        return run_chain(*paths, metrics, remote_training)
