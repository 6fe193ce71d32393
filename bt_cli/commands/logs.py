"""`bt logs`: what the tasks of a run on Kubeflow have printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bt_cli.options import cluster
from bt_cli.view.console import stderr
from bt_core.errors import UserError
from bt_core.trust.shown_text import visible

if TYPE_CHECKING:
    from bt_cluster.tasks import Task

TaskName = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="A task, by its name or title in `bt runs RUN`.",
        show_default="the one that failed, or all",
    ),
]


def logs(
    run: cluster.RunName,
    task: TaskName = None,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """Print the log of a task of a run on Kubeflow.

    Without TASK: of the task that failed first; where none failed, of all tasks in their order.
    A task that was tried again has a log for each attempt.

    Examples:
      bt logs nightly
      bt logs nightly "2.w LoRA fine-tuning"
    """
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster.follow import Followed
    from bt_cluster.logs import log_of
    from bt_cluster.tasks import failed_first

    found = Followed.find(api, run).look(api)
    failed = failed_first(found.tasks)
    chosen = _named(found.tasks, task) if task else [failed] if failed else found.tasks
    pods = [(one, pod) for one in chosen for pod in one.pods]
    if found.workflow is None or not pods:
        what = f"the task `{task}`" if task else "the run"
        raise UserError(f"Nothing of {what} has run in a pod, so there is no log: `bt runs {run}` shows the states.")
    for one, pod in pods:
        log = log_of(api, found.run.id, found.workflow, pod)
        if len(pods) > 1:
            print(visible(f"==> {one.title} ({pod})"), flush=True)
        if log is None:
            stderr().print(f"There is no log of {one.title}: {_why_none(one)}.", markup=False)
            continue
        print(visible(log), end="" if log.endswith("\n") else "\n", flush=True)


def _why_none(task: "Task") -> str:
    if not task.state.has_ended:
        return (
            "the task has not ended, and a Kubeflow for one user shows logs of running pods only at the address of its"
            " dashboard"
        )
    return f"neither its pod nor the archive has one{f' ({task.message})' if task.message else ''}"


def _named(tasks: Sequence["Task"], name: str) -> list["Task"]:
    found = [task for task in tasks if name in (task.name, task.title)]
    found = found or [task for task in tasks if name == task.name.rpartition(".")[2]]
    if not found:
        known = ", ".join(f"`{task.title}`" for task in tasks) or "none"
        raise UserError(f"The run has no task `{name}`: its tasks are {known}.")
    return found
