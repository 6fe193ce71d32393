"""Component, step kind `g`: evolution of instructions by reflection (GEPA)."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gepa_search(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Evolve instructions by reflection on failed train examples and keep the prompts that score best on validation."""
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.gepa_search import gepa_search as optimise
    from bt_runtime.strategy_tasks import run_step

    with one_sentence():
        return run_step(optimise, program.path, traces.path, stage, optimised.path, metrics)
