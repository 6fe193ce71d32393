"""Component: run every step of a strategy in one pod."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def optimise(
    program: dsl.Input[dsl.Model],
    train: dsl.Input[dsl.Dataset],
    val: dsl.Input[dsl.Dataset],
    config: str,
    strategy: str,
    selected: dsl.Output[dsl.Model],
    stages: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run every step of a strategy on one loaded model, and keep the best program by validation."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.chain import chain
    from bt_runtime.finish import finish_each
    from bt_runtime.trainjob import remote_training

    with one_sentence():
        inputs = Path(program.path), Path(train.path), Path(val.path)
        outputs = Path(stages.path), Path(selected.path)
        finished_stages = chain(*inputs, read_config(config), strategy, *outputs, remote_training)
        return finish_each(finished_stages, config, metrics)
