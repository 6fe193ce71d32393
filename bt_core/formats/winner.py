"""The winner of `sweep.json`: its program's prompts and lineage, and the answers that it changed."""

from typing import Any

from pydantic import Field

from bt_core.formats.document import Count, Gain, Part, Score, Seed


class WinnerName(Part):
    """The arm that was chosen, by validation unless the user named one, and the seed."""

    arm: str = Field(description="name of the arm")
    seed: Seed = Field(description="the seed of highest validation score, unless the program was named")
    chosen_by: str = Field(
        "validation", description="`validation`, `validation within the price`, or `name`: the user named the program"
    )
    max_prompt_tokens: float | None = Field(
        None, description="the most prompt tokens a test row that the program might take; null: any number"
    )


class WinnerStep(Part):
    """A step behind the shipped program."""

    kind: str = Field(description="letter of the step")
    stage: str = Field(description="label of the step, such as `2.w`")
    seed: Seed = Field(description="seed of the step")
    val_before: Score | None = Field(description="validation score before the step; null if not measured")
    val_after: Score | None = Field(description="validation score after the step; null if not measured")
    outcome: str = Field(description="a sentence if the step had nothing to do; else empty")
    parent: str = Field(description="sha256 of the program that the step began with")


class PromptField(Part):
    """A field of a predictor's signature."""

    name: str = Field(description="name of the field")
    type: str = Field(description="its type")
    description: str = Field(description="its description; may be empty")


class WinnerAdapter(Part):
    """A LoRA adapter of the shipped program."""

    path: str = Field(description="folder in the program directory")
    sha256: str = Field(description="sha256 of the adapter")


class WinnerPredictor(Part):
    """A predictor of the shipped program."""

    instructions: str = Field(description="the prompt's instructions")
    inputs: tuple[PromptField, ...] = Field(description="its input fields")
    outputs: tuple[PromptField, ...] = Field(description="its output fields")
    demos: tuple[dict[str, Any], ...] = Field(description="its demos: field -> value")
    label_prior: dict[str, float] | None = Field(
        description="mean log-probability of each closed answer; null if not calibrated"
    )
    adapter: WinnerAdapter | None = Field(description="its adapter; null for the base model")


class ProgramDifference(Part):
    """A paired difference between two programs. Its interval counts test rows as a sample, and not seeds."""

    mean: Gain = Field(description="mean difference")
    low: float = Field(description="low end of its interval")
    high: float = Field(description="high end of its interval")


class Winner(WinnerName):
    """The shipped program."""

    score: Score = Field(description="mean test score of this program, not of its arm")
    versus_vanilla: ProgramDifference = Field(description="difference of this program to vanilla on the test rows")
    program_sha256: str = Field(description="identity of the program")
    lineage: tuple[WinnerStep, ...] = Field(description="the steps behind it, oldest first")
    predictors: dict[str, WinnerPredictor] = Field(description="its predictors by name")


class ChangedAnswer(Part):
    """A test example on which the shipped program scores unlike vanilla."""

    row: dict[str, Any] = Field(description="the example with all its columns")
    before: dict[str, Any] = Field(description="what vanilla answered; empty if it failed")
    after: dict[str, Any] = Field(description="what the shipped program answered; empty if it failed")
    feedback_before: str = Field("", description="what the metric said of vanilla's answer; may be empty")
    feedback_after: str = Field("", description="what the metric said of the shipped program's answer; may be empty")


class ChangedAnswers(Part):
    """The first test examples on which the shipped program scores unlike vanilla, and how many there are."""

    gained: tuple[ChangedAnswer, ...] = Field(description="examples on which the shipped program scores higher")
    lost: tuple[ChangedAnswer, ...] = Field(description="examples on which it scores lower")
    gained_count: Count = Field(description="number of all examples gained")
    lost_count: Count = Field(description="number of all examples lost")
