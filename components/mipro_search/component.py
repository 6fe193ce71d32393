"""Component, step kind `m`: instructions and demos chosen together (MIPROv2)."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def mipro_search(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Choose proposed instructions and demos together and keep the prompts that score best on validation."""
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.mipro_search import mipro_search as optimise
    from bt_runtime.strategy_tasks import run_step

    with one_sentence():
        return run_step(optimise, program.path, traces.path, stage, optimised.path, metrics)
