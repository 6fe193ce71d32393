"""Settings of the optimisers: one section a step kind, named by its letter."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bt_core.config.section import PLAIN, Section


class SearchConfig(Section):
    """`p`: bootstrapped few-shot random search. Defaults from the paper (arXiv 2407.10930, section 4)."""

    candidates: int = Field(6, ge=1, description="demo sets tried, besides the demo-free program")
    max_demos: int = Field(3, ge=1, description="demonstrations per predictor, at most")
    racing: Literal["exact", "statistical", "off"] = Field(
        "exact",
        description="drop candidates that provably cannot win any more, or very likely cannot (with hundreds of"
        " validation rows), or score every one on every row",
    )
    racing_risk: float = Field(
        0.05, gt=0.0, lt=1.0, description="probability with which the statistical race may miss the best candidate"
    )
    racing_step: int = Field(
        2,
        ge=1,
        description="how many candidates a race scores on at once, and on how many rows each, at least; 1: the fewest"
        " LM calls, where those are paid for; more: wider batches, in fewer rounds",
    )


class WriterConfig(Section):
    """The LM that writes instructions for `g` and `m`."""

    writer: Literal["base", "teacher"] = Field(
        "base", description="who writes instructions: the program's base model, or `teacher.model`"
    )
    temperature: float = Field(1.0, ge=0.0, le=2.0, description="at which instructions are written")
    max_tokens: int = Field(256, ge=1, description="tokens that a written instruction may have")


class GepaConfig(WriterConfig):
    """`g`: GEPA, instructions that evolve by reflection (arXiv 2507.19457)."""

    metric_calls: int = Field(400, ge=1, description="program runs that the search may spend, at most")
    minibatch: int = Field(3, ge=1, description="train examples that a new instruction is reflected on")
    merge: bool = Field(True, description="also merge candidates that are best on different validation rows")
    max_demos: int = Field(
        0, ge=0, description="demonstrations per predictor from traces, in every candidate; 0: those it came with"
    )


class MiproConfig(WriterConfig):
    """`m`: MIPROv2, proposed instructions and bootstrapped demonstrations chosen together (arXiv 2406.11695)."""

    metric_calls: int = Field(400, ge=1, description="program runs that the search may spend, at most")
    candidates: int = Field(6, ge=2, description="instructions and demo sets to choose from, per predictor")
    max_demos: int = Field(3, ge=0, description="demonstrations per predictor, at most; 0: instructions alone")
    minibatch: int = Field(
        0, ge=0, description="validation rows of a trial, the best of five seeing all; 0: all rows in every trial"
    )
    read_program: bool = Field(True, description="whether who writes instructions reads the program's source")


class LoraConfig(Section):
    """`w`: LoRA fine-tuning on the traces that passed, completion-only loss."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    target_modules: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1)
    learning_rate: float = Field(2e-4, gt=0.0)
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(8, ge=1, description="sequences a step")
    micro_batch: int = Field(
        0, ge=0, description="sequences in memory at once, gradients added up to `batch_size`; 0: all, if they fit"
    )
    checkpoint_steps: int = Field(
        0, ge=0, description="optimiser steps between checkpoints, which a training goes on from; 0: one an epoch"
    )
    quantize: Literal["none", "4bit"] = Field(
        "none", description="4bit: the frozen base in NF4 while training (QLoRA); needs CUDA and bitsandbytes"
    )
    processes: int = Field(1, ge=1, description="processes that share a step, a GPU each (docs/training.md)")
    mode: Literal["pod", "trainjob"] = Field(
        "pod", description="train in the step's own pod, or in a TrainJob of Kubeflow Trainer (`trainjob.*`)"
    )
    holdout: float = Field(0.15, ge=0.0, lt=1.0, description="share of traces kept for the validation loss; 0: none")
    min_traces: int = Field(4, ge=1, description="fewer passing traces than this leave the program unchanged")
    headroom_samples: int = Field(
        0, ge=0, description="samples of each failed train example, to see what there is to gain; 0: not measured"
    )
    min_headroom: float = Field(
        0.02, ge=0.0, le=1.0, description="less to gain than this share of the train examples skips the step"
    )
    force: bool = Field(False, description="train where `min_traces` or `min_headroom` would skip the step")
    sft_prompt: Literal["vanilla", "optimised"] = Field(
        "vanilla", description="prompt in the fine-tuning rows, and in the program that leaves the step"
    )
    adapters: Literal["shared", "per_predictor"] = Field("shared", description="one adapter, or one per predictor")

    @model_validator(mode="after")
    def _divisible(self) -> "LoraConfig":
        together = self.processes * max(1, self.micro_batch)
        if self.batch_size % together:
            asked = f"of {self.batch_size}, which is no multiple of `processes` times `micro_batch` ({together})"
            raise PydanticCustomError(PLAIN, f"has a `batch_size` {asked}")  # the value would be the whole section
        return self


class TrainJobConfig(Section):
    """`w.mode: trainjob`: training handed to Kubeflow Trainer (docs/training.md)."""

    share: str = Field("", description="folder on a volume that both pods mount, or s3://bucket/prefix")
    claim: str = Field("", description="volume claim that the TrainJob mounts at `share`; empty: the runtime does")
    image: str = Field("", description="image of the training pods; empty: that of the step")
    runtime: str = Field("torch-distributed", description="the cluster's training runtime")
    namespace: str = Field("", description="empty: that of the pod, or of the kubeconfig")
    gpus: int = Field(1, ge=0, description="GPUs of the training pod; as many as `w.processes`")
    timeout: int = Field(86400, ge=60, description="seconds to wait for the job")
