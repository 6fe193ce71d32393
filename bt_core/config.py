"""The one configuration of a run: typed, every mistake named at once, importable without a heavy library.

Precedence, later wins: the defaults here, the task's own `config`, the user's file, single values given on
the command line or as pipeline parameters. `resolve_config` merges them; steps read the merged JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bt_core.errors import ConfigError


class Section(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Checked = TypeVar("Checked", bound=BaseModel)
#: Type of a mistake whose message says it all and leaves the value out, which may be a secret.
PLAIN = "plain"


class Rows(Section):
    """How many examples each split gets."""

    train: int = Field(60, ge=1, description="examples that steps learn from")
    val: int = Field(60, ge=1, description="examples that choose between candidates and stages")
    test: int = Field(150, ge=1, description="sealed examples, scored once at the end")


class Decoding(Section):
    """How the LM answers. Closed answers (`Literal`, bool) go through the token tree of their labels."""

    temperature: float = Field(0.0, ge=0.0, le=2.0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus mass, when sampling")
    max_tokens: int = Field(64, ge=1, description="tokens a free answer may have")
    stop: tuple[str, ...] = Field((), description="strings that end a free answer")
    closed: Literal["scored", "greedy", "free"] = Field(
        "scored",
        description="closed answers: best label by whole log-probability, by the greedy walk, or free text",
    )
    calibration: Literal["none", "train", "content_free"] = Field(
        "none",
        description="label prior divided out: mean over unlabelled train inputs, or on content-free input",
    )


class BootstrapConfig(Section):
    """Running the program on the train split to collect traces that pass."""

    threshold: float = Field(1.0, ge=0.0, le=1.0, description="a trace is kept when its metric is at least this")
    attempts: int = Field(1, ge=1, description="runs per example; the first is greedy, later ones sample")
    temperature: float = Field(1.0, gt=0.0, le=2.0, description="of the attempts after the first")


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


class RetrainConfig(Section):
    """`bt retrain`: recurring runs over data that grows (docs/retraining.md)."""

    start: Literal["champion", "scratch"] = Field("champion", description="the program that a run optimises further")
    min_new: int = Field(50, ge=1, description="with fewer rows that no earlier run has seen, a run stops early")
    min_test: int = Field(20, ge=1, description="with fewer sealed rows that were never compared on, a run stops early")
    margin: float = Field(
        0.0, ge=0.0, lt=1.0, description="the challenger is promoted when it is better by more than this"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="of the interval that has to lie above the margin")
    drift_alpha: float = Field(0.01, gt=0.0, lt=1.0, description="chance of a false alarm in a drift report")
    retire: str = Field(
        "", description="sealed rows of files up to this name may be learnt from once they were compared on"
    )


class EngineConfig(Section):
    """Where and how the model runs (docs/vllm.md)."""

    kind: Literal["transformers", "vllm", "server"] = Field(
        "transformers", description="transformers or vLLM in this process, or an OpenAI-compatible endpoint"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where the device has it")
    in_flight: int = Field(256, ge=1, description="examples whose LM calls are gathered into one batch")
    batch_tokens: int = Field(
        16384, ge=256, description="tokens, padding included, in one forward pass; halved when memory runs out"
    )
    prefix_tokens: int = Field(
        8192, ge=0, description="tokens of shared prefixes kept between batches, with their keys and values"
    )
    context: int = Field(0, ge=0, description="vllm: tokens that prompt and answer may have; 0: the model's own limit")
    gpu_memory: float = Field(0.9, gt=0.0, le=1.0, description="vllm: share of each GPU's memory that it may take")
    tensor_parallel: int = Field(1, ge=1, description="vllm: GPUs that the model is split over")
    lora_rank: int = Field(0, ge=0, le=512, description="vllm: highest adapter rank to make room for; 0: `w.rank`")
    url: str = Field("", validate_default=True, description="server: base of the endpoint, such as http://host:8000/v1")
    served_as: str = Field("", description="server: what the endpoint calls the model; empty: the model's id")
    key_variable: str = Field("", description="server: environment variable that holds the key; never the key itself")
    protocol: Literal["tokens", "chat"] = Field(
        "tokens", description="server: token ids to vLLM's `/completions`, or messages to any `/chat/completions`"
    )
    concurrency: int = Field(64, ge=1, description="server: requests under way at once")
    timeout: float = Field(120.0, gt=0.0, description="server: seconds to wait for one answer")
    retries: int = Field(5, ge=0, description="server: tries after the first, each after a longer wait")

    @field_validator("url")
    @classmethod
    def _needed_and_without_secret(cls, url: str, info: ValidationInfo) -> str:
        if info.data.get("kind") == "server" and not url.startswith(("http://", "https://")):
            raise ValueError("`kind: server` needs the endpoint's base, such as http://host:8000/v1")
        if "@" in url:
            raise ValueError("a key does not belong here: name its environment variable in `key_variable`")
        return url


class TeacherConfig(Section):
    """Another LM that runs the program for `bootstrap`; `teacher.engine.*` has the keys of `engine.*`."""

    model: str = Field("", description="its folder, Hugging Face id, or name at an endpoint; empty: no teacher")
    engine: EngineConfig = EngineConfig()


class Config(Section):
    """Everything that a run needs besides the strategy."""

    task: str = Field(description="a built-in task's name, or an import path package.module:attribute")
    seed: int = Field(0, ge=0)
    data_seed: int | None = Field(
        None, ge=0, description="seed of the splits; default: `seed`. Runs to be compared need the same test rows"
    )
    model: str = Field(
        "smollm2-135m-instruct",
        description="embedded model, local folder, Hugging Face id, or s3://bucket/prefix that holds such a folder",
    )
    start: str = Field(
        "",
        description="program directory or s3:// bundle that the run starts from; empty: the task's own prompts on the"
        " base model",
    )
    data: str = Field(
        "",
        description="file or folder of rows, s3://bucket/key, s3://bucket/prefix/, or hub:ID[:CONFIG]; empty: the"
        " task's own data",
    )
    columns: dict[str, str] = Field({}, description="column of `data` that each of the task's columns is read from")
    task_settings: dict[str, Any] = Field({}, description="settings of the task itself (docs/tasks.md)")
    rows: Rows = Rows()
    decoding: Decoding = Decoding()
    bootstrap: BootstrapConfig = BootstrapConfig()
    p: SearchConfig = SearchConfig()
    g: GepaConfig = GepaConfig()
    m: MiproConfig = MiproConfig()
    w: LoraConfig = LoraConfig()
    trainjob: TrainJobConfig = TrainJobConfig()
    engine: EngineConfig = EngineConfig()
    teacher: TeacherConfig = TeacherConfig()
    retrain: RetrainConfig = RetrainConfig()
    select: Literal["best", "last"] = Field("best", description="stage that is shipped: best by validation, or last")


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings, later layers winning key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = dict(value) if isinstance(value, Mapping) else value
    return merged


def resolve_config(*layers: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Merge the layers and check the result.

    Raises:
        ConfigError: with every mistake, each with its key, in one sentence.
    """
    return validated(Config, merge(*layers), source, "docs/configuration.md lists every key")


def validated(kind: type[Checked], values: Mapping[str, Any], source: str, hint: str, prefix: str = "") -> Checked:
    """The values as a section of that kind.

    Args:
        kind: the pydantic model that says which keys there are.
        values: key -> value.
        source: where they come from, and `hint` where the keys are listed; both for the sentence.
        hint: see above.
        prefix: what stands in front of each key in the sentence, such as `task_settings.`.

    Raises:
        ConfigError: with every mistake, each with its key, in one sentence.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        mistakes = "; ".join(_mistake(detail, prefix) for detail in error.errors())
        count = error.error_count()
        raise ConfigError(
            f"{count} mistake{'s' if count > 1 else ''} in {source}: {mistakes}. Mend {'them' if count > 1 else 'it'}"
            f" and run again; {hint}."
        ) from None


def _mistake(detail: Mapping[str, Any], prefix: str = "") -> str:
    key = prefix + ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"`{key}` is no setting"
    if detail["type"] == "missing":
        return f"`{key}` is missing"
    if detail["type"] == PLAIN:
        return f"`{key}` {detail['msg']}" if key else str(detail["msg"])
    return f"`{key}` is {detail['input']!r}, but {str(detail['msg'])[0].lower()}{str(detail['msg'])[1:]}"


def load_config_file(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML mapping of settings, unchecked.

    Raises:
        ConfigError: when the file is missing, unreadable, or no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"The config file {path} does not exist: check the path.")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            value = json.loads(text)
        else:
            import yaml

            value = yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: broken JSON ({error.msg}); mend the line.") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigError(f"{path}, line {line}: broken YAML; mend the line.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path} holds a {type(value).__name__}, not a mapping of settings: write `key: value` lines."
        )
    return value


def read_config(text: str) -> Config:
    """Read a merged configuration as steps receive it (JSON).

    Raises:
        ConfigError: when the text is no valid configuration.
    """
    try:
        return resolve_config(json.loads(text))
    except json.JSONDecodeError:
        raise ConfigError("The step's `config` input is not JSON: pass the `config` output of prepare_data.") from None
