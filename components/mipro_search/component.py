"""Component, step kind `m`: instructions and demos chosen together (MIPROv2)."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def mipro_search(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Dataset],
    val: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Choose proposed instructions and demos together and keep the prompts that score best on validation."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.mipro_search import mipro_search as optimise
    from bt_runtime.finish import finish

    with one_sentence():
        inputs = Path(program.path), Path(traces.path), Path(train.path), Path(val.path)
        report = optimise(*inputs, read_config(config), stage, Path(optimised.path))
        splits = {"train": train.path, "val": val.path}
        return finish(report, config, metrics, {"program": optimised.path}, splits)
