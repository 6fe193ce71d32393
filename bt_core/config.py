"""The one configuration of a run: typed, every mistake named at once, importable without a heavy library.

Precedence, later wins: the defaults here, the task's own `config`, the user's file, single values given on
the command line or as pipeline parameters. `resolve_config` merges them; steps read the merged JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bt_core.errors import ConfigError


class Section(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class LoraConfig(Section):
    """`w`: LoRA fine-tuning on the traces that passed, completion-only loss."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    target_modules: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1)
    learning_rate: float = Field(2e-4, gt=0.0)
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(8, ge=1, description="sequences a step")
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


class EngineConfig(Section):
    """Where and how the model runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where the device has it")
    in_flight: int = Field(256, ge=1, description="examples whose LM calls are gathered into one batch")
    batch_tokens: int = Field(
        16384, ge=256, description="tokens, padding included, in one forward pass; halved when memory runs out"
    )
    prefix_tokens: int = Field(
        8192, ge=0, description="tokens of shared prefixes kept between batches, with their keys and values"
    )


class Config(Section):
    """Everything that a run needs besides the strategy."""

    task: str = Field(description="a built-in task's name, or an import path package.module:attribute")
    seed: int = Field(0, ge=0)
    data_seed: int | None = Field(
        None, ge=0, description="seed of the splits; default: `seed`. Runs to be compared need the same test rows"
    )
    model: str = Field("smollm2-135m-instruct", description="embedded model, local folder, or Hugging Face id")
    data: str = Field("", description="file or folder of rows, or s3://bucket/key; empty: the task's own data")
    rows: Rows = Rows()
    decoding: Decoding = Decoding()
    bootstrap: BootstrapConfig = BootstrapConfig()
    p: SearchConfig = SearchConfig()
    w: LoraConfig = LoraConfig()
    engine: EngineConfig = EngineConfig()
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
    try:
        return Config.model_validate(merge(*layers))
    except ValidationError as error:
        mistakes = "; ".join(_mistake(detail) for detail in error.errors())
        count = error.error_count()
        raise ConfigError(
            f"{count} mistake{'s' if count > 1 else ''} in {source}: {mistakes}. Mend {'them' if count > 1 else 'it'}"
            " and run again; docs/configuration.md lists every key."
        ) from None


def _mistake(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"`{key}` is no setting"
    if detail["type"] == "missing":
        return f"`{key}` is missing"
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
