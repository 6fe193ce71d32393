"""Component, step kind `w`: LoRA fine-tuning on the program's own traces."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def lora_finetune(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Dataset],
    val: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Fine-tune a LoRA adapter on the traces that passed, and score the result on validation."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.lora_finetune import lora_finetune as optimise
    from bt_runtime.finish import finish
    from bt_runtime.trainjob import remote_training

    with one_sentence():
        inputs = Path(program.path), Path(traces.path), Path(train.path), Path(val.path)
        settings = read_config(config)
        report = optimise(*inputs, settings, stage, Path(optimised.path), remote=remote_training(settings))
        splits = {"train": train.path, "val": val.path}
        return finish(report, config, metrics, {"program": optimised.path}, splits)
