"""Component, step kind `w`: LoRA fine-tuning on the program's own traces."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def lora_finetune(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Fine-tune a LoRA adapter on the traces that passed, and score the result on validation."""
    from bt_core.errors import one_sentence
    from bt_core.steps.optimise.lora_finetune import lora_finetune as optimise
    from bt_runtime.strategy_tasks import run_step
    from bt_runtime.trainjob import remote_training

    with one_sentence():
        return run_step(optimise, program.path, traces.path, stage, optimised.path, metrics, remote_training)
