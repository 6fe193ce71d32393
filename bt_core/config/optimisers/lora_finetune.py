"""`w`: fine-tuning of the weights."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bt_core.config.section import PLAIN, Section
from bt_core.config.step_kind import StepKind


class LoraConfig(Section):
    """`w`: LoRA fine-tuning on the traces that passed, completion-only loss."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    target_modules: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1)
    learning_rate: float = Field(2e-4, gt=0.0)
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(8, ge=1, description="sequences per optimiser step")
    micro_batch: int = Field(
        0, ge=0, description="sequences in memory at once, whose gradients add up to `batch_size`; 0: all, if they fit"
    )
    checkpoint_steps: int = Field(
        0, ge=0, description="optimiser steps between checkpoints, from which a training can resume; 0: one per epoch"
    )
    quantize: Literal["none", "4bit"] = Field(
        "none", description="4bit: the frozen base in NF4 while training (QLoRA); needs CUDA and bitsandbytes"
    )
    processes: int = Field(
        1, ge=1, description="processes that share a step, each on a GPU of its own (docs/training.md)"
    )
    nodes: int = Field(
        1,
        ge=1,
        # Left out where there is one, so that programs and keys of adapters stay those of earlier releases.
        exclude_if=lambda nodes: bool(nodes == 1),
        description="pods of a TrainJob that share a step, with `processes` in each",
    )
    mode: Literal["pod", "trainjob"] = Field(
        "pod", description="train in the step's own pod, or in a TrainJob of Kubeflow Trainer (`trainjob.*`)"
    )
    holdout: float = Field(0.15, ge=0.0, lt=1.0, description="share of traces kept for the validation loss; 0: none")
    min_traces: int = Field(4, ge=1, description="with fewer passing traces than this, the program stays unchanged")
    headroom_samples: int = Field(
        0, ge=0, description="samples per failed train example, to measure what training could gain; 0: do not measure"
    )
    min_headroom: float = Field(
        0.06,
        ge=0.0,
        le=1.0,
        description="the gain that pays for a training: skip the step where the interval of what could be gained, as a"
        " share of the train examples, ends below it",
    )
    force: bool = Field(False, description="train where `min_traces` or `min_headroom` would skip the step")
    sft_prompt: Literal["vanilla", "optimised"] = Field(
        "vanilla", description="prompt in the fine-tuning rows, and in the program that leaves the step"
    )
    adapters: Literal["shared", "per_predictor"] = Field("shared", description="one adapter, or one per predictor")

    @property
    def world_size(self) -> int:
        """All processes that share a step."""
        return self.nodes * self.processes

    @model_validator(mode="after")
    def _divisible(self) -> "LoraConfig":
        together = self.world_size * max(1, self.micro_batch)
        if self.batch_size % together:
            factors = "`nodes` times `processes`" if self.nodes > 1 else "`processes`"
            problem = f"of {self.batch_size}, which is no multiple of {factors} times `micro_batch` ({together})"
            raise PydanticCustomError(PLAIN, f"has a `batch_size` {problem}")  # the value would be the whole section
        return self

    @model_validator(mode="after")
    def _nodes_of_a_job(self) -> "LoraConfig":
        if self.nodes > 1 and self.mode != "trainjob":
            raise PydanticCustomError(PLAIN, f"has {self.nodes} `nodes`, which only `mode: trainjob` has")
        return self


LORA_FINETUNE = StepKind(
    title="LoRA fine-tuning",
    description="LoRA fine-tuning of the weights on the program's own successful traces",
    settings=LoraConfig,
    stage="bt_core.steps.optimise.lora_finetune:lora_finetune",
    component="bt_components.lora_finetune.component:lora_finetune",
    trains=True,
)
