"""Runs that Kubeflow lists as running though nothing runs them any more.

When a workflow is deleted before it has ended, nobody tells Kubeflow, whose record of the run stays as it was. No path
of its API that changes nothing looks at the workflow itself, so that only traces of the loss can be seen.
"""

from datetime import UTC, datetime, timedelta

from bt_cluster.api import Api
from bt_cluster.logs import log_of
from bt_cluster.runs import Run
from bt_cluster.tasks import State, Task
from bt_cluster.workflow import Workflow

#: For how long nothing may begin or end in a run, none of whose tasks has a pod that is running or waits for a node.
LONGEST_SILENCE = timedelta(minutes=10)


def lost(api: Api, run: Run, workflow: Workflow | None, tasks: list[Task]) -> str:
    """A sentence on what suggests that a run is lost; empty where nothing does, or the run has ended.

    Raises:
        UserError, WorldError: as of `log_of`.
    """
    if run.has_ended or workflow is None:
        return ""
    look = f"look with `kubectl --namespace {workflow.namespace} get workflow {workflow.name}`"
    if run.schedule and not _has_schedule(api, run.schedule):
        signs = "the schedule that started it is deleted, and "
    else:
        signs = ""
    running = [task for task in tasks if task.state is State.RUNNING]
    if running:
        if any(log_of(api, run.id, workflow, task.pods[-1]) is not None for task in running):
            return ""
        signs += f"the pod of `{running[0].title}` has no log"
    else:
        quiet = _silence(workflow)
        if quiet < LONGEST_SILENCE or any(node.phase == "Pending" for node in workflow.nodes):
            return ""
        signs += f"nothing has begun or ended in it for {quiet.total_seconds() / 60:.0f} minutes"
    return (
        f"Kubeflow lists the run {run.name} as {run.state.lower()}, but {signs}: its workflow may be deleted; {look}."
    )


def _has_schedule(api: Api, schedule: str) -> bool:
    get = api.recurring_runs.recurring_run_service_get_recurring_run
    return api.call("show the schedule of a run", get, schedule, expected=(404,)) is not None


def _silence(workflow: Workflow) -> timedelta:
    times = [time for node in workflow.nodes for time in (node.started, node.ended) if time]
    return datetime.now(UTC) - max(times) if times else timedelta(0)
