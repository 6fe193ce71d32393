"""Every setting of a run, and the registration of the built-in step kinds."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from bt_core.config.engine import EngineConfig, TeacherConfig
from bt_core.config.optimisers.gepa_search import GEPA_SEARCH, GepaConfig
from bt_core.config.optimisers.lora_finetune import LORA_FINETUNE, LoraConfig
from bt_core.config.optimisers.mipro_search import MIPRO_SEARCH, MiproConfig
from bt_core.config.optimisers.prompt_search import PROMPT_SEARCH, SearchConfig
from bt_core.config.section import Address, Section
from bt_core.config.tracking import TrackingConfig
from bt_core.config.trainjob import TrainJobConfig
from bt_core.errors import ConfigError

SectionOf = TypeVar("SectionOf", bound=Section)
#: Above every seed: numpy's generators, which transformers seeds before a training, take numbers of 32 bits.
SEED_LIMIT = 2**32


class Rows(Section):
    """How many examples each split gets."""

    train: int = Field(60, ge=1, description="examples that steps learn from")
    val: int = Field(60, ge=1, description="examples that choose between candidates and stages")
    test: int = Field(150, ge=1, description="sealed examples, scored once at the end")


class Decoding(Section):
    """How the LM answers. Closed answers (`Literal`, bool) are chosen among their labels."""

    temperature: float = Field(0.0, ge=0.0, le=2.0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="probability mass of nucleus sampling")
    max_tokens: int = Field(64, ge=1, description="most tokens of a free answer")
    stop: tuple[str, ...] = Field((), description="strings that end a free answer")
    closed: Literal["scored", "whole", "greedy", "free"] = Field(
        "scored",
        description="closed answers: `scored` takes the label that is likeliest over the branches of the labels' token"
        " tree, where a token without an alternative costs nothing; `whole` the one whose tokens are likeliest in all"
        " by the model's own probabilities; `greedy` walks the tree from token to token; `free` is free text",
    )
    calibration: Literal["none", "train", "content_free"] = Field(
        "none",
        description="divide out the label prior: its mean over unlabelled train inputs, or that on content-free input",
    )


class BootstrapConfig(Section):
    """Run the program on the train split to collect traces that pass."""

    threshold: float = Field(1.0, ge=0.0, le=1.0, description="a trace is kept when its metric is at least this")
    attempts: int = Field(1, ge=1, description="runs per example; the first one is greedy, later ones sample")
    temperature: float = Field(1.0, gt=0.0, le=2.0, description="of the attempts after the first")


class RetrainConfig(Section):
    """`bt retrain`: recurring runs over data that grows (docs/retraining.md)."""

    start: Literal["champion", "scratch"] = Field("champion", description="the program that a run optimises further")
    min_new: int = Field(50, ge=1, description="a run with fewer rows that no earlier run has seen stops early")
    min_test: int = Field(20, ge=1, description="a run with fewer sealed rows that were never compared on stops early")
    margin: float = Field(
        0.0, ge=0.0, lt=1.0, description="the challenger is promoted when it is better by more than this"
    )
    promote_at: float = Field(
        100.0,
        gt=1.0,
        description="e-value that promotes; at most one in so many challengers without the gain gets there",
    )
    drop_below: float = Field(0.2, ge=0.0, lt=1.0, description="e-value below which the challenger is dropped")
    nights: int = Field(14, ge=1, description="runs that compare one challenger at most; it is then dropped")
    drift_alpha: float = Field(0.01, gt=0.0, lt=1.0, description="chance of a false alarm in a drift report")
    retire: str = Field(
        "", description="sealed rows of files up to this name may be learnt from once they were compared on"
    )


class Config(Section):
    """Everything that a run needs besides the strategy."""

    task: str = Field(description="a built-in task's name, or an import path package.module:attribute")
    seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="of all that is drawn at random")
    data_seed: int | None = Field(
        None,
        ge=0,
        lt=SEED_LIMIT,
        description="seed of the splits; default: `seed`. Runs to be compared need the same test rows",
    )
    model: Address = Field(
        "smollm2-135m-instruct",
        description="embedded model, local folder, Hugging Face id, or s3://bucket/prefix that holds such a folder",
    )
    start: Address = Field(
        "",
        description="program directory or s3:// bundle that the run starts from; empty: the task's own prompts on the"
        " base model",
    )
    data: Address = Field(
        "",
        description="file or folder of rows, s3://bucket/key, s3://bucket/prefix/, hub:ID[:CONFIG], or mlflow:NAME;"
        " empty: the task's own data",
    )
    columns: dict[str, str] = Field({}, description="column of the task -> column of `data` that it is read from")
    task_settings: dict[str, Any] = Field({}, description="settings of the task itself (docs/tasks.md)")
    rows: Rows = Rows()
    decoding: Decoding = Decoding()
    bootstrap: BootstrapConfig = BootstrapConfig()
    # The built-in step kinds, each registered by its line: the name of the field is what a strategy says.
    p: Annotated[SearchConfig, PROMPT_SEARCH] = SearchConfig()
    g: Annotated[GepaConfig, GEPA_SEARCH] = GepaConfig()
    m: Annotated[MiproConfig, MIPRO_SEARCH] = MiproConfig()
    w: Annotated[LoraConfig, LORA_FINETUNE] = LoraConfig()
    trainjob: TrainJobConfig = TrainJobConfig()
    engine: EngineConfig = EngineConfig()
    teacher: TeacherConfig = TeacherConfig()
    retrain: RetrainConfig = RetrainConfig()
    tracking: TrackingConfig = TrackingConfig()
    select: Literal["best", "last"] = Field(
        "best", description="the program that is shipped: the best by validation, or the last"
    )

    def section(self, name: str, kind: type[SectionOf]) -> SectionOf:
        """The settings of a step kind from another package, whose field this class does not declare.

        Raises:
            ConfigError: when the configuration has no such section, since that package was not there to add it.
        """
        settings = getattr(self, name, None)
        if not isinstance(settings, kind):
            raise ConfigError(f"The configuration has no section `{name}`: install the package of that step kind.")
        return settings
