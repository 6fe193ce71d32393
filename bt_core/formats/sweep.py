"""`sweep.json`: the outcome of a sweep, from which the report is made."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from bt_core.formats.arms import ArmScores, VanillaScores
from bt_core.formats.baselines import Baselines
from bt_core.formats.document import Count, Document, Part, Score, Seed, Share
from bt_core.formats.winner import ChangedAnswers, Winner, WinnerName
from bt_core.wording import counted, with_interval

#: The version of sweep.json that is written and read.
SCHEMA: Literal[2] = 2


Span = tuple[Count, Count | None]
"""The least and the greatest number; null where there is no greatest."""


class SplitSizes(Part):
    """Numbers of rows."""

    train: Count = Field(description="rows to optimise on")
    val: Count = Field(description="rows to choose by")
    test: Count = Field(description="sealed rows to compare on")


class PlannedLook(Part):
    """The sweep's place among the looks that were planned ([sweep.md](sweep.md#a-planned-extension))."""

    number: Count = Field(description="1 for the first look, 2 for the extension of another sweep")
    planned: Count = Field(description="number of looks that were planned before the first one")
    total_alpha: Share = Field(description="chance of any false claim at any of the looks")


class VerdictText(Part):
    """The answer to whether fine-tuning was worth it ([statistics.md](statistics.md))."""

    label: str = Field(description="the word, and for an undecided sweep what would decide it")
    word: str = Field(description="one of the four verdicts; empty where a kind of arm is missing")
    sentence: str = Field(description="the figures that led to the word, and which look this is")
    more_rows: Span = Field(description="least and greatest number of further test rows that would probably decide")
    more_seeds: Span = Field(description="least and greatest number of further seeds that would probably decide")


class NodeUsage(Part):
    """What a step asked of the engine."""

    calls: Count = Field(description="LM calls that were answered")
    cached_calls: Count = Field(description="LM calls that were answered from the cache")
    prompt_tokens: Count = Field(description="tokens of the prompts as sent")
    computed_prompt_tokens: Count = Field(description="prompt tokens that the model computed")
    completion_tokens: Count = Field(description="tokens of the answers")
    seconds: float = Field(description="wall time of the model")


class Node(Part):
    """A step of the strategies' prefix tree under one seed."""

    seed: Seed = Field(description="seed of the strategies")
    stage: str = Field(description="the steps up to and including this one, such as `p.w`")
    kind: str = Field(description="letter of the step")
    strategy: str = Field(description="the steps up to and including this one, such as `p -> w`")
    parent: str = Field(description="`stage` of the step before; empty for the first one")
    validation_before: Score = Field(description="validation score of the program that the step began with")
    validation: Score = Field(description="validation score of the program that it made")
    outcome: str = Field(description="a sentence if the step had nothing to do; else empty")
    usage: NodeUsage = Field(description="what the step asked of the engine")
    train_tokens: Count = Field(description="tokens trained on")
    loss: tuple[tuple[Count, float], ...] = Field(description="(training step, loss); empty where nothing was trained")
    val_loss: tuple[tuple[Count, float], ...] = Field(description="(epoch, loss on held-out rows); empty likewise")
    traces_kept: Count = Field(description="bootstrapped traces that reached the threshold")
    traces_total: Count = Field(description="bootstrapped traces")


class SweepCost(Part):
    """What the whole sweep took, its tasks one after the other."""

    lm_calls: Count = Field(description="LM calls that were answered")
    cached_calls: Count = Field(description="LM calls that were answered from the cache")
    seconds: float = Field(description="wall time")
    lm_calls_one_by_one: Count = Field(description="LM calls of the same arms without shared steps")
    seconds_one_by_one: float = Field(description="wall time of the same arms without shared steps")
    prompt_tokens: Count | None = Field(None, description="tokens of the prompts as sent; null in older files")
    completion_tokens: Count | None = Field(None, description="tokens of the answers; null in older files")


class SweepFigures(Document):
    """`sweep.json` before the winner's program is read: what the scores of all arms say."""

    remedy: ClassVar[str] = "name a sweep.json that `bt sweep` wrote"

    schema_version: Literal[2] = Field(alias="schema", description="2; others are refused")
    task: str = Field(description="name of the task, or where it is imported from")
    description: str = Field(description="the task's description; may be empty")
    metric: str = Field(description="name of the metric; may be empty")
    model: str = Field(description="the base model")
    model_revision: str = Field(description="revision of the base model")
    data_seed: Seed = Field(description="seed that drew the splits, which all arms share")
    seeds: tuple[Seed, ...] = Field(description="seeds of the strategies")
    rows: SplitSizes = Field(description="number of rows of each split")
    command: str = Field(description="how to run the sweep again")
    config: dict[str, Any] = Field(description="the merged configuration of the first seed")
    alpha: Share = Field(description="chance of any false claim at this look; intervals are at level 1 - `alpha`")
    look: PlannedLook = Field(description="which of the planned looks this is")
    margin: Share = Field(description="the largest gain that is not worth having")
    vanilla: VanillaScores = Field(description="the program before any step")
    arms: tuple[ArmScores, ...] = Field(description="the strategies, in the order in which they were named")
    baselines: Baselines | None = Field(
        None, description="constant answers on the test rows; null where the labels are no classes"
    )
    verdict: VerdictText = Field(description="whether fine-tuning was worth it")
    nodes: tuple[Node, ...] = Field(description="the steps of the prefix tree, under every seed")
    winner: WinnerName | None = Field(
        description="the winning arm and seed; null if no arm beats vanilla in validation"
    )
    cost: SweepCost = Field(description="cost of the whole sweep")


class Sweep(SweepFigures):
    """`sweep.json`."""

    winner: Winner | None = Field(
        description="the shipped program; null if no arm scores higher than vanilla in validation, and vanilla stays"
    )
    changed: ChangedAnswers = Field(description="test examples on which the shipped program scores unlike vanilla")

    @property
    def shipped(self) -> str:
        """What the shipped program scores by itself, beside its arm's mean; empty where vanilla stays."""
        if self.winner is None:
            return ""
        winner = self.winner
        arm = next(arm for arm in self.arms if arm.name == winner.arm)
        others = f"; {arm.mean:.3f} is the mean of its arm's {counted(len(arm.by_seed), 'program')}"
        gain = with_interval(winner.versus_vanilla, 1.0 - self.alpha, sample="over test rows, not seeds")
        return (
            f"The shipped program, `{winner.arm}` under seed {winner.seed}, scores {winner.score:.3f} by itself, which "
            f"is {gain} against vanilla{others if len(arm.by_seed) > 1 else ''}.{_chosen(winner)}"
        )

    @classmethod
    def completed(cls, figures: SweepFigures, winner: Winner | None, changed: ChangedAnswers) -> Self:
        """The figures with what only programs and results tell."""
        known = {name: value for name, value in figures if name not in ("schema_version", "winner")}
        return cls(schema=figures.schema_version, winner=winner, changed=changed, **known)


def _chosen(winner: Winner) -> str:
    """How the program was chosen, where it is not simply the best by validation."""
    if winner.max_prompt_tokens is not None:
        most = f"{winner.max_prompt_tokens:g} prompt tokens a row"
        return f" It is the best by validation of those that take at most {most}."
    if winner.chosen_by == "name":
        return (
            " It was named by the user, and not chosen by validation: where its test score was the reason, that score"
            " is likely too high."
        )
    return ""
