"""What a check sees and reports, as plain records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bt_core.config import Config
from bt_core.engine.base import Message
from bt_core.program import Program
from bt_core.records import Row, Trace
from bt_core.steps.check.cost import Cost, Measured
from bt_core.task import Task


@dataclass(frozen=True)
class LmCall:
    """One LM call.

    Attributes:
        predictor: its name; empty for a predictor that was made inside `forward`.
        signature: the predictor's fields.
        prompt: the messages.
        completion: the raw answer.
        prompt_tokens, completion_tokens: their lengths.
        seconds: wall time of the predictor's call.
        cut: whether the answer ended at `decoding.max_tokens`.
        closed: whether the answer was chosen among labels.
        error: why there was no answer, or why the predictor could not use it; empty: neither happened.
    """

    predictor: str
    signature: str
    prompt: tuple[Message, ...]
    completion: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cut: bool = False
    closed: bool = False
    error: str = ""


@dataclass(frozen=True)
class RowRun:
    """The run of one row.

    Attributes:
        row: the example.
        asked: the LM calls, in the order in which they started.
        trace: the run's trace, with the metric's score.
        seconds: wall time from the start of the first call to the end of the last.
        outside: LMs that were called besides the predictors.
        kept: attributes that the program set on its module while it ran.
    """

    row: Row
    asked: tuple[LmCall, ...]
    trace: Trace
    seconds: float
    outside: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


#: What a finding may be: what would spoil a run, what may be wrong, and what is good to know.
SEVERITIES = ("mistake", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """A sentence about the task, and one of `SEVERITIES`."""

    severity: str
    sentence: str


@dataclass(frozen=True)
class Evidence:
    """What the findings follow from.

    Attributes:
        task: the task.
        config: the run's merged configuration.
        program: the vanilla program.
        splits: the rows of each split.
        runs: the rows that were run.
        metric_errors: sentences about values of the metric that are no score in [0, 1].
        context_length: tokens that the model reads at most; None: not known.
        notes: what was read otherwise than the user may expect, in sentences.
    """

    task: Task
    config: Config
    program: Program
    splits: Mapping[str, Sequence[Row]]
    runs: Sequence[RowRun]
    metric_errors: Sequence[str]
    context_length: int | None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class CheckReport:
    """All that a check found out; `bt check --json` prints it."""

    task: str
    model: str
    predictors: tuple[str, ...]
    rows: dict[str, int]
    runs: tuple[RowRun, ...]
    findings: tuple[Finding, ...]
    measured: Measured | None
    costs: tuple[Cost, ...]

    @property
    def is_spoilt(self) -> bool:
        """Whether a run would be in vain."""
        return any(finding.severity == "mistake" for finding in self.findings)
