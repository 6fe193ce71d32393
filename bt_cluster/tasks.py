"""The tasks of a run: those of its pipeline, with what the workflow says of each.

A task `x` is several nodes of the workflow (backend/src/v2/compiler/argocompiler/container.go): a driver `x-driver`,
which looks into the cache; an executor `x`; in it `x.executor`, which is the pod, or skipped after a hit in the cache.
Groups of tasks are nodes around them, loops have an `iteration-item` for each round, and an exit task lies in a hook of
its exit handler, `exit-handler-1.onExit`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from bt_cluster.workflow import Node, Workflow

_DRIVER, _DAG_DRIVER, _IMPORTER = "system-container-driver", "system-dag-driver", "system-importer"
_EXECUTOR = "system-container-executor"
_FAILED, _SKIPPED = ("Failed", "Error"), ("Skipped", "Omitted")
_ROUND = re.compile(r"^iteration-iterations\((\d+):.*\)$")
_ROUNDS = re.compile(r"\[\d+\]")
#: Parts of a path that Kubeflow puts in and no pipeline names.
_FRAMES = ("", "root", "iteration-item")
_ON_EXIT = "onExit"


class State(StrEnum):
    """The state of a task, as a person reads it."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def has_ended(self) -> bool:
        return self in (State.DONE, State.CACHED, State.FAILED, State.SKIPPED)


@dataclass(frozen=True)
class Task:
    """A task of a run.

    Attributes:
        name: its key, after the keys of the groups that it lies in; the round of a loop in brackets.
        title: what a person reads.
        pods: names of the pods that ran it, in the order of its attempts; one of its driver where that failed.
        message: why its pod is in its state, in Kubernetes' words; empty where nothing is said.
    """

    name: str
    title: str
    state: State = State.WAITING
    started: datetime | None = None
    ended: datetime | None = None
    pods: tuple[str, ...] = ()
    message: str = ""

    @property
    def seconds(self) -> float | None:
        """From its start to its end, or until now; None where it has not begun."""
        if self.started is None:
            return None
        return max(((self.ended or datetime.now(UTC)) - self.started).total_seconds(), 0.0)


def tasks_of(spec: Mapping[str, Any], workflow: Workflow | None) -> list[Task]:
    """All tasks of a pipeline, in its order, those that have not begun too.

    Args:
        spec: the pipeline's specification; empty where it is not known, which leaves the tasks that have begun.
        workflow: what runs; None before it does.
    """
    begun = list(_begun(workflow)) if workflow else []
    if not spec:
        return begun
    tasks: list[Task] = []
    for task in _planned(spec, spec["root"].get("dag", {}), ""):
        own = [one for one in begun if _ROUNDS.sub("", one.name) == task.name]
        tasks += [replace(one, title=_titled(task.title, one.name)) for one in own] or [task]
    known = {task.name for task in tasks}
    return tasks + [task for task in begun if task.name not in known]


def without_waiting(tasks: Sequence[Task]) -> list[Task]:
    """The tasks of a run that has ended, in which nothing waits any more."""
    return [replace(task, state=State.SKIPPED) if task.state is State.WAITING else task for task in tasks]


def failed_first(tasks: Sequence[Task]) -> Task | None:
    """The task whose failure came first; None where none failed."""
    failed = [task for task in tasks if task.state is State.FAILED]
    return min(failed, key=lambda task: task.ended or datetime.max.replace(tzinfo=UTC), default=None)


def _planned(spec: Mapping[str, Any], dag: Mapping[str, Any], group: str) -> Iterator[Task]:
    for key, task in _in_order(dag.get("tasks", {})):
        inner = spec.get("components", {}).get(task.get("componentRef", {}).get("name"), {})
        name = f"{group}{key}"
        if "dag" in inner:
            yield from _planned(spec, inner["dag"], f"{name}.")
        else:
            yield Task(name, str(task.get("taskInfo", {}).get("name") or key))


def _in_order(tasks: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Every task after those that it waits for."""
    ordered: dict[str, Any] = {}
    left = dict(tasks)
    while left:
        ready = [key for key, task in left.items() if not set(task.get("dependentTasks", ())) & left.keys()]
        for key in ready or list(left):
            ordered[key] = left.pop(key)
    return list(ordered.items())


def _begun(workflow: Workflow) -> Iterator[Task]:
    by_path: dict[str, list[Node]] = {}
    for node in workflow.nodes:
        by_path.setdefault(node.path, []).append(node)
    seen: set[str] = set()
    for node in workflow.nodes:
        path = _task_path(node)
        if path is not None and path not in seen:
            seen.add(path)
            yield _task(path, by_path)


def _task_path(node: Node) -> str | None:
    """The path of the task that a node belongs to; None where it belongs to none that a person knows."""
    if node.template == _DRIVER or (node.template == _DAG_DRIVER and node.phase in _FAILED):
        return node.path.removesuffix("-driver")
    if node.template.endswith(_EXECUTOR) or node.template.startswith(_IMPORTER):
        return node.path
    return None


def _task(path: str, by_path: Mapping[str, Sequence[Node]]) -> Task:
    drivers, executors, pods = (by_path.get(path + part, []) for part in ("-driver", "", ".executor"))
    pods = [node for node in pods or executors if node.kind in ("Pod", "Skipped")]
    state = _state(drivers, executors, pods)
    ran = [node for node in pods if node.kind == "Pod"]
    looked = ran or [node for node in drivers if node.kind == "Pod"]
    nodes = [*drivers, *executors]
    name = _name(path)
    return Task(
        name,
        _titled(_ROUNDS.sub("", name.rpartition(".")[2]), name),
        state,
        min((node.started for node in nodes if node.started), default=None),
        max((node.ended for node in nodes if node.ended), default=None) if state.has_ended else None,
        tuple(node.pod for node in (looked if state is State.FAILED else ran)),
        looked[-1].message if looked else "",
    )


def _state(drivers: Sequence[Node], executors: Sequence[Node], pods: Sequence[Node]) -> State:
    driver, executor = _phase(drivers), _phase(executors)
    if executor in _FAILED or (driver in _FAILED and executor in ("", *_SKIPPED)):
        return State.FAILED
    if executor in _SKIPPED or (not executor and driver in _SKIPPED):
        return State.SKIPPED
    if executor == "Succeeded":
        return State.CACHED if pods and all(node.kind == "Skipped" for node in pods) else State.DONE
    return State.RUNNING if any(node.phase == "Running" for node in pods) else State.STARTING


def _phase(nodes: Sequence[Node]) -> str:
    """The phase of nodes of one path: that of the last node around all attempts, where there is one."""
    around = [node for node in nodes if node.kind == "Retry"] or list(nodes)
    return around[-1].phase if around else ""


def _name(path: str) -> str:
    """The name of a task, `for-loop-1[2].score`; rounds of loops count from one.

    The start of the whole pipeline is called `root`, as in its specification.
    """
    parts: list[str] = []
    for part in path.split("."):
        found = _ROUND.match(part)
        if found:
            parts[-1] += f"[{int(found[1]) + 1}]"
        elif part == _ON_EXIT:
            parts.pop()  # the exit handler, whose exit task stands beside it in the pipeline
        elif part not in _FRAMES:
            parts.append(part)
    return ".".join(parts) or "root"


def _titled(title: str, name: str) -> str:
    """The title of a task with the rounds of the loops that it lies in, `score [2]`."""
    return " ".join([title, *_ROUNDS.findall(name)])
