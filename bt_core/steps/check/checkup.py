"""What a check sees and says, as plain records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bt_core.config import Config
from bt_core.engine.base import Message
from bt_core.program import Program
from bt_core.records import Row, Trace
from bt_core.steps.check.cost import Cost, Measured
from bt_core.task import Task


@dataclass(frozen=True)
class Asked:
    """One LM call: whose it was, the prompt, the raw completion. `cut`: it ended at `decoding.max_tokens`."""

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
    """One row's run: every LM call in the order they began, and what the metric said of the end.

    `outside` are LMs that were called besides the predictors, `kept` attributes that the program gave its module.
    """

    row: Row
    asked: tuple[Asked, ...]
    trace: Trace
    seconds: float
    outside: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """`mistake`: it would spoil a run. `warning`: look at it."""

    severity: str
    sentence: str


@dataclass(frozen=True)
class Checked:
    """What the findings are drawn from."""

    task: Task
    config: Config
    program: Program
    splits: Mapping[str, Sequence[Row]]
    runs: Sequence[RowRun]
    nonsense: Sequence[str]
    context_length: int | None


@dataclass(frozen=True)
class CheckReport:
    """All that a check found out."""

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
