"""Component: the table of a sweep, its verdict and its winner."""

from typing import NamedTuple

from kfp import dsl

from bt_runtime.images import IMAGE


# Kubeflow's SDK knows several outputs from such an annotation alone. The pod evaluates it too, and has only the text of
# the function there, so that a class above it would not be found. mypy takes a call for no type.
@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare_arms(
    seeds: dsl.Input[list[dsl.Dataset]],
    strategies: list[str],
    margin: float,
    alpha: float,
    look: int,
    looks: int,
    command: str,
    ship: str,
    max_prompt_tokens: float,
    compared: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Outputs", [("report", str), ("program", str)]):  # type: ignore[valid-type]
    """Compare the arms of a sweep by their test scores, and name the program to ship."""
    from bt_core.errors import one_sentence
    from bt_runtime.sweep_tasks import run_compare

    with one_sentence():
        scored = [seed.path for seed in seeds]
        rules = margin, (look, looks, alpha), (max_prompt_tokens, ship)
        return run_compare(scored, strategies, *rules, command, compared.path, metrics)
