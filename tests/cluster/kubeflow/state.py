"""What the stub of Kubeflow's API keeps, and how a test sets it up."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster.kubeflow.workflow import Ends

BEGINNING = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass
class State:
    """Everything that the server keeps, each by its id, the oldest first."""

    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    specs: dict[str, Any] = field(default_factory=dict)  # of versions, in full
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    schedules: dict[str, Any] = field(default_factory=dict)
    #: Runs whose workflow was deleted: they stay as they were for ever.
    lost: set[str] = field(default_factory=set)


@dataclass
class Backend:
    """State and settings.

    Attributes:
        state: everything that is kept.
        version: what it says it is; `unknown` for one that was built from a branch.
        account: what it fills in where no service account is named.
        outcome: the state that runs end in. A run goes one state further whenever it is looked at.
        ends: task key -> how it ends, where it does not just succeed; "" for the start of the whole run.
        stuck: whether a run stays in its second state, as long tasks do.
        multi_user: whether it serves several users.
        dashboard: whether it answers as behind the dashboard's server, which passes on v1beta1 and v2beta1 alone
            (frontend/server/app.ts).
    """

    state: State = field(default_factory=State)
    version: str = "2.17.0"
    account: str = "pipeline-runner"
    outcome: str = "SUCCEEDED"
    ends: dict[str, Ends] = field(default_factory=dict)
    stuck: bool = False
    multi_user: bool = False
    dashboard: bool = False
    _clock: datetime = BEGINNING

    def now(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock

    def knows(self, major: int, minor: int) -> bool:
        """Whether it is at least this version."""
        numbers = self.version.split(".")[:2]
        return not numbers[0].isdecimal() or tuple(map(int, numbers)) >= (major, minor)
