"""Component: compare the challenger with the champion on fresh sealed rows."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def challenge_champion(
    champion: dsl.Input[dsl.Model],
    program: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    stage: str,
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Score both programs on sealed rows that no run has compared on, and bet that the challenger is better."""
    from bt_core.errors import one_sentence
    from bt_runtime.retrain_tasks import run_challenge

    with one_sentence():
        return run_challenge(champion.path, program.path, test.path, stage, results.path, metrics)
