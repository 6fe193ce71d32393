"""What the page of a single run shows, chosen from its result.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bt_core.formats.run_result import Evaluation, RunResult
from bt_core.formats.winner import ChangedAnswers, WinnerPredictor
from bt_core.wording import Claim, run_verdict
from bt_report.forest import Estimate, Forest, forest
from bt_report.text import signed

#: The verdict as a title.
_TITLES = {
    Claim.BETTER: "better than before",
    Claim.WORSE: "worse than before",
    Claim.OPEN: "not shown to differ from before",
    Claim.SAME: "unchanged",
}


@dataclass(frozen=True)
class RunReport:
    """The page of a run.

    Attributes:
        result: the run's result.json.
        test: its evaluation.
        changed: the test rows whose score changed.
        predictors: those of the shipped program, by name.
        inputs: the task's inputs.
    """

    result: RunResult
    test: Evaluation
    changed: ChangedAnswers
    predictors: Mapping[str, WinnerPredictor]
    inputs: Sequence[str]

    @property
    def title(self) -> str:
        return _TITLES[Claim.of(self.test.difference)]

    @property
    def verdict(self) -> str:
        return run_verdict(self.test.rows, self.test.vanilla, self.test.final, self.test.difference)

    @property
    def kind(self) -> str:
        """How the shipped program is marked in the plot."""
        return "weights" if any(predictor.adapter for predictor in self.predictors.values()) else "prompts"

    @property
    def plot(self) -> Forest:
        found = self.test.difference
        title = f"shipped minus vanilla: {signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"
        gain = Estimate("shipped − vanilla", self.kind, found.mean, found.low, found.high, signed(found.mean), title)
        return forest([gain], [(0.0, "no difference")])
