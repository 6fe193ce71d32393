"""Component: run the program on the train split and keep every trace."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def bootstrap_traces(
    program: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    stage: str,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run a program on the train split and write a scored trace of every run, failed runs included."""
    from bt_core.errors import one_sentence
    from bt_runtime.strategy_tasks import run_bootstrap

    with one_sentence():
        return run_bootstrap(program.path, rows.path, stage, traces.path, metrics)
