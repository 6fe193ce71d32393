"""The arms of `sweep.json`: their test scores, their paired differences and their costs."""

from pydantic import Field

from bt_core.formats.document import Amount, Count, Gain, Part, Score, Seed, Share


class SeedSpread(Part):
    """How far the mean of one seed lies from that of another."""

    between: float = Field(description="variance of the seeds' means")
    noise: float = Field(description="the part of `between` that finitely many rows bring about")
    freedom: float = Field(description="degrees of freedom of `between`; 0 if nothing is known")


class IntervalBasis(Part):
    """What an interval is computed from."""

    centre: float = Field(description="where interval and test are centred")
    row_variance: Amount = Field(description="variance of the rows' means over the seeds")
    rows: Count = Field(description="number of test rows")
    groups: Count = Field(description="number of independent groups of rows; that of the rows where there are none")
    seeds: Count = Field(description="number of seeds")
    spread: SeedSpread = Field(description="the spread between seeds that was used")


class ArmContrast(Part):
    """The paired difference `left` - `right` over the rows and the seeds that both have."""

    left: str = Field(description="name of an arm")
    right: str = Field(description="name of the arm it is compared with, or `vanilla`")
    seeds: tuple[Seed, ...] = Field(description="seeds that both have")
    mean: Gain = Field(description="mean difference")
    low: float = Field(description="low end of its interval")
    high: float = Field(description="high end of its interval")
    p_value: Share = Field(description="two-sided p value, uncorrected")
    basis: IntervalBasis = Field(description="what the interval is computed from")
    adjusted: Share | None = Field(description="p value adjusted by Holm's procedure; null where nothing is claimed")


class ArmCost(Part):
    """What making an arm's program took, all its steps (shared ones too): means over the seeds."""

    lm_calls: Amount = Field(description="LM calls that were answered")
    prompt_tokens: Amount = Field(description="tokens of the prompts as sent")
    completion_tokens: Amount = Field(description="tokens of the answers")
    train_tokens: Amount = Field(description="tokens trained on")
    seconds: float = Field(description="wall time")


class MeanScores(Part):
    """A mean test score over rows and seeds, with its interval."""

    mean: Score = Field(description="mean test score over rows and seeds")
    low: float = Field(description="low end of its interval")
    high: float = Field(description="high end of its interval")
    by_seed: dict[Seed, Score] = Field(description="mean test score under each seed")
    prompt_tokens_per_example: Amount = Field(description="mean prompt tokens of a test row")


class VanillaScores(MeanScores):
    """The program before any step."""


class ArmScores(MeanScores):
    """A strategy."""

    name: str = Field(description="the strategy, such as `p -> w`")
    has_weights: bool = Field(description="whether the strategy tunes weights")
    validation: Score = Field(description="mean validation score over the seeds, which chooses between arms")
    validation_by_seed: dict[Seed, Score] = Field(description="validation score under each seed")
    versus_vanilla: ArmContrast | None = Field(description="difference to vanilla; null where there is none")
    versus_prompts: ArmContrast | None = Field(
        description="difference to the prompts-only arm that validation chose; null for that arm and where none is"
    )
    cost: ArmCost = Field(description="what making the program took")
    completion_tokens_per_example: Amount = Field(description="mean completion tokens of a test row")
    skipped: tuple[str, ...] = Field(description="a sentence for each step that had nothing to do")
