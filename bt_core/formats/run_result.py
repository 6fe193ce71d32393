"""`result.json`: the outcome of a run of one strategy."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from bt_core.formats.baselines import Baselines
from bt_core.formats.document import Amount, Count, Document, Gain, Part, Score, Seed, Share
from bt_core.wording import Comparison


class ProgramTokens(Part):
    """A mean number of tokens for each of the two programs."""

    vanilla: Amount = Field(description="of the program before any step")
    final: Amount = Field(description="of the shipped program")


class Difference(Part):
    """Two programs compared on the same test rows, positive where the second scores higher."""

    mean: Gain = Field(description="mean difference over the test rows")
    ci95: tuple[float, float] = Field(
        description="low and high end of the 95% interval, which covers test rows and not seeds"
    )
    p_value: Share = Field(description="of the two-sided exact test that neither program is better")
    method: Literal["mcnemar", "sign flip", "sign flip of groups", "none"] = Field(
        description="the exact test: McNemar's, or random signs of rows or of whole groups; none if `is_same`"
    )
    better: Count = Field(description="rows on which the second program scored higher")
    worse: Count = Field(description="rows on which the second program scored lower")
    groups: Count = Field(description="independent groups of rows; as many as rows where the task has no groups")
    is_same: bool = Field(description="the two are the same program but for their lineage: nothing was compared")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """A comparison as it stands in files; its interval is one at 95%."""
        names = ("mean", "p_value", "method", "better", "worse", "groups", "is_same")
        values = {name: getattr(found, name) for name in names}
        return cls.model_validate(values | {"ci95": (found.low, found.high)})

    @property
    def low(self) -> float:
        """Low end of the interval."""
        return self.ci95[0]

    @property
    def high(self) -> float:
        """High end of the interval."""
        return self.ci95[1]


class Evaluation(Part):
    """The vanilla and the final program on the sealed test split."""

    vanilla: Score = Field(description="mean score of the program before any step")
    final: Score = Field(description="mean score of the shipped program")
    difference: Difference = Field(description="`final` (the second program) - `vanilla`")
    rows: Count = Field(description="number of test rows")
    prompt_tokens_per_example: ProgramTokens = Field(description="mean prompt tokens of a test row")


class Step(Part):
    """An optimisation step; its costs include those of the bootstrap before it."""

    stage: str = Field(description="label of the step, such as `2.w`")
    kind: str = Field(description="letter of the step, such as `w`")
    validation: Score = Field(description="validation score of the program that the step made")
    validation_before: Score = Field(description="validation score of the program that it began with")
    seconds: float = Field(description="wall time")
    lm_calls: Count = Field(description="LM calls that were answered")
    cached_calls: Count = Field(description="LM calls that were answered from the cache")
    prompt_tokens: Count = Field(description="tokens of the prompts as sent")
    computed_prompt_tokens: Count = Field(description="prompt tokens that the model computed")
    completion_tokens: Count = Field(description="tokens of the answers")
    train_tokens: Count = Field(description="tokens trained on")
    train_cached: bool = Field(
        description="the adapter came from the cache; `train_tokens` is what it took when trained"
    )
    traces_kept: Count = Field(description="bootstrapped traces that reached the threshold")
    traces_total: Count = Field(description="bootstrapped traces")
    warnings: tuple[str, ...] = Field(description="the step's warnings")
    changed: bool = Field(True, description="false: the step's program is the one that it began with")


class RunResult(Document):
    """`result.json`."""

    remedy: ClassVar[str] = "name a result.json that `bt run` wrote"

    strategy: str = Field(description="the strategy as written, such as `p -> w`")
    task: str = Field(description="name of the task, or where it is imported from")
    seed: Seed = Field(description="seed of the run")
    steps: tuple[Step, ...] = Field(description="the optimisation steps, in order")
    test: Evaluation | None = Field(description="scores on the sealed test split; null without an evaluation")
    baselines: Baselines | None = Field(
        None, description="constant answers on the test rows; null where the labels are no classes"
    )
    program: str = Field(description="directory of the shipped program")
    demos: dict[str, Count] = Field({}, description="number of demos of each predictor of the shipped program")
    program_sha256: str = Field(description="identity of the shipped program")
    shipped: str = Field(description="label of the step that made the shipped program; `vanilla` if none did")
    seconds: float = Field(description="wall time, summed over all stages")
    warnings: tuple[str, ...] = Field(description="the warnings of every stage, in order")
    mlflow: dict[str, str] = Field(description="MLflow run id of each stage; empty when tracking is off")
    config: dict[str, Any] = Field(description="the whole merged configuration ([configuration.md](configuration.md))")
