"""Tasks as they are read from a workflow: loops, exit tasks, conditions, attempts, packed nodes and old pod names."""

import base64
import gzip
import json
from typing import Any

from bt_cluster.tasks import State, Task, failed_first, tasks_of
from bt_cluster.workflow import Workflow, read_workflow

EXECUTOR, DRIVER, IMPL = "system-container-executor", "system-container-driver", "system-container-impl"
LOOP = {
    "root": {
        "dag": {
            "tasks": {
                "last": {"dependentTasks": ["for-loop-1"], "taskInfo": {"name": "the last"}},
                "for-loop-1": {"componentRef": {"name": "comp-for-loop-1"}},
            }
        }
    },
    "components": {"comp-for-loop-1": {"dag": {"tasks": {"part": {"taskInfo": {"name": "a part"}}}}}},
}


def _node(path: str, kind: str, template: str, phase: str, at: int, **more: Any) -> dict[str, Any]:
    times = {"startedAt": f"2026-11-26T10:00:{at:02}Z", "finishedAt": f"2026-11-26T10:00:{at + 5:02}Z"}
    identity = {"id": f"wf-{abs(hash(path))}", "name": f"wf{path}", "displayName": path, "type": kind}
    return {**identity, "templateName": template, "phase": phase, **times, **more}


def _executed(path: str, at: int, phase: str = "Succeeded") -> list[dict[str, Any]]:
    return [
        _node(f"{path}-driver", "Pod", DRIVER, "Succeeded", at),
        _node(path, "DAG", EXECUTOR, phase, at + 1),
        _node(f"{path}.executor", "Pod", IMPL, phase, at + 2),
    ]


def _workflow(nodes: list[dict[str, Any]], **metadata: Any) -> Workflow:
    status = {"nodes": {one["name"]: one for one in nodes}}
    return read_workflow({"metadata": {"name": "wf", "namespace": "team", **metadata}, "status": status})


def test_before_anything_runs_every_task_waits_in_its_order() -> None:
    assert tasks_of(LOOP, None) == [Task("for-loop-1.part", "a part"), Task("last", "the last")]


def test_the_rounds_of_a_loop_are_tasks_of_their_own() -> None:
    rounds = ".root.for-loop-1.iteration-iterations({number}:{number}).iteration-item.part"
    nodes = _executed(rounds.format(number=1), 10) + _executed(rounds.format(number=0), 20, "Failed")
    first, second, last = tasks_of(LOOP, _workflow(nodes))
    assert (first.name, first.title, first.state) == ("for-loop-1[2].part", "a part [2]", State.DONE)
    assert (second.name, second.state, last.state) == ("for-loop-1[1].part", State.FAILED, State.WAITING)
    assert failed_first([first, second, last]) is second


def test_nodes_around_attempts_decide() -> None:
    nodes = [
        *_executed(".root.x", 0)[:1],
        _node(".root.x", "Retry", EXECUTOR, "Running", 1),
        _node(".root.x(0)", "DAG", EXECUTOR, "Failed", 1),
        _node(".root.x(1)", "DAG", EXECUTOR, "Running", 10),
        _node(".root.x(0).executor(0)", "Pod", IMPL, "Failed", 2, message="Error (exit code 1)"),
        _node(".root.x(1).executor(0)", "Pod", IMPL, "Running", 11),
    ]
    (task,) = tasks_of({}, _workflow(nodes))
    assert (task.state, task.ended, len(task.pods)) == (State.RUNNING, None, 2)


def test_what_began_last_decides_where_a_whole_group_was_tried_again() -> None:
    nodes = [
        _node("(0).root(0).x", "Retry", EXECUTOR, "Failed", 1),
        _node("(1).root(0).x", "Retry", EXECUTOR, "Succeeded", 20),
        _node("(1).root(0).x(0).executor", "Pod", IMPL, "Succeeded", 21),
    ]
    (task,) = tasks_of({}, _workflow(nodes))
    assert (task.name, task.state) == ("x", State.DONE)


def test_an_exit_task_a_condition_and_what_a_failure_leaves_out() -> None:
    nodes = [
        *_executed(".root.exit-handler-1.onExit.tell", 30),
        _node(".root.condition-1.promote", "Skipped", EXECUTOR, "Skipped", 20),
        _node(".root.later-driver", "Skipped", DRIVER, "Omitted", 20),
    ]
    found = {task.name: task.state for task in tasks_of({}, _workflow(nodes))}
    states = {"tell": State.DONE, "condition-1.promote": State.SKIPPED, "later": State.SKIPPED}
    assert found == states


def test_a_failed_driver_is_the_task_that_failed() -> None:
    nodes = [_node(".root.x-driver", "Pod", DRIVER, "Error", 0, message="no room")]
    (task,) = tasks_of({}, _workflow(nodes))
    assert (task.state, task.message) == (State.FAILED, "no room")
    assert task.pods[0].startswith("wf-system-container-driver-")


def test_the_nodes_of_a_large_workflow_are_packed() -> None:
    nodes = {one["name"]: one for one in _executed(".root.x", 0)}
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    found = read_workflow({"metadata": {"name": "wf"}, "status": {"compressedNodes": packed}})
    assert [task.state for task in tasks_of({}, found)] == [State.DONE]


def test_pods_are_called_by_their_template_or_by_their_node() -> None:
    nodes = [{**one, "id": f"wf-{number}"} for number, one in enumerate(_executed(".root.x", 0))]
    (task,) = tasks_of({}, _workflow(nodes))
    (old,) = tasks_of({}, _workflow(nodes, annotations={"workflows.argoproj.io/pod-name-format": "v1"}))
    assert (task.pods, old.pods) == (("wf-system-container-impl-2",), ("wf-2",))
