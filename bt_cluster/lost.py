"""Runs that Kubeflow lists as running though nothing runs them any more.

When a workflow is deleted before it has ended, nobody tells Kubeflow, whose record of the run stays as it was. No path
of its API that changes nothing looks at the workflow itself, so that only traces of the loss can be seen, and in a
Kubeflow for one user only while no task is running.
"""

from datetime import UTC, datetime, timedelta

from bt_cluster.api import Api
from bt_cluster.logs import log_of, shows_running
from bt_cluster.runs import Run
from bt_cluster.tasks import State, Task
from bt_cluster.workflow import Workflow

#: For how long nothing may begin or end in a run, none of whose tasks has a pod that is running or waits for a node.
LONGEST_SILENCE = timedelta(minutes=10)


def lost(api: Api, run: Run, workflow: Workflow | None, tasks: list[Task]) -> str:
    """A sentence on what suggests that a run is lost; empty where nothing does, or the run has ended.

    Raises:
        UserError: when Kubeflow refuses to show a log.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    if run.has_ended or workflow is None:
        return ""
    running = [task for task in tasks if task.state is State.RUNNING]
    if running and run.state != "CANCELING":  # the pods of a run that is being ended are gone before it has ended
        if not shows_running(api) or any(log_of(api, run.id, workflow, task.pods[-1]) for task in running):
            return ""
        sign = f"the pod of `{running[0].title}` has no log"
    else:
        quiet = _silence(workflow)
        if quiet < LONGEST_SILENCE or any(node.phase == "Pending" for node in workflow.nodes):
            return ""
        sign = f"nothing has begun or ended in it for {quiet.total_seconds() / 60:.0f} minutes"
    return (
        f"Kubeflow lists the run {run.name} as {run.state.lower()}, but {sign}: its workflow may be deleted; look with"
        f" `kubectl --namespace {workflow.namespace} get workflow {workflow.name}`."
    )


def _silence(workflow: Workflow) -> timedelta:
    times = [time for node in workflow.nodes for time in (node.started, node.ended) if time]
    return datetime.now(UTC) - max(times) if times else timedelta(0)
