"""Component, step kind `p`: search over bootstrapped demos."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prompt_search(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Search over demos taken from the traces and keep the prompts that score best on validation."""
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.prompt_search import prompt_search as optimise
    from bt_runtime.strategy_tasks import run_step

    with one_sentence():
        return run_step(optimise, program.path, traces.path, stage, optimised.path, metrics)
