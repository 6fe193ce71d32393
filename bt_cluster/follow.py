"""A run and its tasks at one moment, one moment after the other, and why it failed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from bt_cluster.api import Api
from bt_cluster.logs import Failure, failure_of, log_of
from bt_cluster.lost import lost
from bt_cluster.package import Content, strategy_of
from bt_cluster.runs import Run, find_run, run_of
from bt_cluster.tasks import Task, failed_first, tasks_of, without_waiting
from bt_cluster.workflow import Workflow, workflow_of
from bt_core.errors import BtError, UserError, WorldError
from bt_core.retries import Pauses, try_again

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: How many times as long as Kubeflow's answer a pause takes at least: the workflow of a large sweep has megabytes.
_EASE = 5.0
#: Seconds that Kubeflow may fail or be unreachable while a run is waited for, since the run goes on meanwhile.
PATIENCE = 300.0
#: Seconds without a change after which it is asked whether the run is lost, and then again.
DOUBT = 120.0


@dataclass(frozen=True)
class Snapshot:
    """A run and its tasks at one moment. `workflow` is None where Kubeflow keeps none, or serves none."""

    run: Run
    workflow: Workflow | None
    tasks: list[Task]


@dataclass(frozen=True)
class Followed:
    """A run whose pipeline is known, so that its tasks can be told before they begin."""

    id: str
    strategy: str
    spec: Mapping[str, Any]

    @classmethod
    def find(cls, api: Api, run: str) -> "Followed":
        """The run of that id or name.

        Raises:
            UserError, WorldError: as of `find_run`.
        """
        found = find_run(api, run)
        used = found.pipeline_version_reference
        if used is None:
            return cls(found.run_id, "", Content.of(found.pipeline_spec or {}).spec)
        get = api.pipelines.pipeline_service_get_pipeline_version
        ids = used.pipeline_id, used.pipeline_version_id
        version = api.call("show the run's pipeline", get, *ids, expected=(404,))
        if version is None:
            return cls(found.run_id, "", {})
        name = version.name or version.display_name
        return cls(found.run_id, strategy_of(name), Content.of(version.pipeline_spec or {}).spec)

    def look(self, api: Api) -> Snapshot:
        """The run now.

        Raises:
            UserError: when Kubeflow refuses the call.
            WorldError: when Kubeflow fails or cannot be reached.
        """
        answer = api.call(f"show the run {self.id}", api.runs.run_service_get_run, self.id)
        run, workflow = run_of(api, answer, self.strategy), workflow_of(api, self.id)
        tasks = tasks_of(self.spec, workflow)
        return Snapshot(run, workflow, without_waiting(tasks) if run.has_ended else tasks)

    def follow(self, api: Api, patience: float = PATIENCE) -> Iterator[Snapshot]:
        """The run again and again until it has ended; the last snapshot is that of its end.

        Raises:
            UserError: when Kubeflow refuses the call.
            WorldError: when the run seems to be lost, or Kubeflow failed or could not be reached for `patience`
                seconds.
        """
        pause, changed, doubts = _FIRST_PAUSE, monotonic(), 0
        before: list[Task] = []
        while True:
            began = monotonic()
            snapshot = try_again(lambda: self.look(api), _is_transient, Pauses(pause, 15.0), seconds=patience)
            yield snapshot
            if snapshot.run.has_ended:
                return
            if snapshot.tasks != before:
                before, changed, doubts = snapshot.tasks, monotonic(), 0
            elif monotonic() - changed > DOUBT * (doubts + 1):
                sentence = lost(api, snapshot.run, snapshot.workflow, snapshot.tasks)
                doubts = doubts + 1 if sentence else 0
                changed = changed if sentence else monotonic()
                if doubts > 1:
                    raise WorldError(sentence)
            took = monotonic() - began
            sleep(max(pause, _EASE * took))
            pause = min(1.5 * pause, _LONGEST_PAUSE)


def failure(api: Api, snapshot: Snapshot) -> BtError | None:
    """Why a run ended without success, as an error to raise; None for one that succeeded or goes on.

    Raises:
        UserError: when Kubeflow refuses to show a log.
        WorldError: when Kubeflow cannot be reached.
    """
    run, workflow = snapshot.run, snapshot.workflow
    if not run.has_ended or run.state == "SUCCEEDED":
        return None
    if run.state == "CANCELED":
        return WorldError(f"The run {run.name} was canceled: see {run.link}.")
    task = failed_first(snapshot.tasks)
    if workflow is None or task is None:
        why = f" ({workflow.message})" if workflow and workflow.message else ""
        return WorldError(f"The run {run.name} has ended as {run.state.lower()}{why}: see {run.link}.")
    found = _failure(api, run, workflow, task)
    kind = UserError if found.exit_status == 2 else WorldError
    return kind(f"The task `{task.title}` of the run {run.name} failed: {found.reason.rstrip('.')}: see {run.link}.")


def _failure(api: Api, run: Run, workflow: Workflow, task: Task) -> Failure:
    return failure_of(task, log_of(api, run.id, workflow, task.pods[-1]) if task.pods else None)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, WorldError)
