"""How large a pipeline gets as an Argo workflow, which Argo refuses above a limit.

Kubeflow makes a workflow of a compiled file. Argo keeps its specification and the status of its nodes in one object,
the status packed by gzip and base64. Both are estimated here from the compiled file; the constants were fitted to
workflows of a Kubeflow 2.17.0 (docs/LOG.md), whose sizes tests/backend/test_workflow_size.py holds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from bt_core.errors import ConfigError

Json = Mapping[str, Any]

#: Bytes above which Argo refuses a workflow (argo-workflows: workflow/packer/packer.go), where no database keeps its
#: nodes apart, as in Kubeflow's own installation.
MOST_BYTES = 1_048_576
#: Bytes of any workflow's specification, and bytes of it for a byte of the compiled file as compact JSON.
_SPEC, _SPEC_OF_A_BYTE = 20_000, 1.4
#: Packed bytes of the nodes of a run, of a task, and for each byte of what a task is started with, which stands in
#: several of its nodes.
_NODES, _NODES_OF_A_TASK, _NODES_OF_A_BYTE = 2_000, 1_300, 1.1
#: Bytes of what a task is started with: of any task, of an input and of an output artifact, which have a long address
#: each, and of a parameter whose value is known only when the pipeline runs.
_START, _INPUT, _OUTPUT, _PARAMETER = 690, 503, 245, 60


@dataclass(frozen=True)
class WorkflowSize:
    """Bytes of a workflow: of its specification, and of the packed status of its nodes when it has ended."""

    spec: int
    nodes: int

    @property
    def total(self) -> int:
        return self.spec + self.nodes

    @classmethod
    def of(cls, pipeline: Json, platform: Json) -> "WorkflowSize":
        """Estimate the size of a compiled pipeline, from the two documents of its file."""
        compact = sum(len(json.dumps(part, separators=(",", ":"))) for part in (pipeline, platform))
        return cls(round(_SPEC + _SPEC_OF_A_BYTE * compact), nodes_size(task_starts(pipeline, pipeline["root"])))


def nodes_size(starts: Iterable[int]) -> int:
    """The packed bytes of the nodes of tasks, from the bytes of what each is started with."""
    return round(_NODES + sum(_NODES_OF_A_TASK + _NODES_OF_A_BYTE * start for start in starts))


def check_size(pipeline: Json, platform: Json) -> None:
    """Refuse a pipeline whose workflow Argo would refuse, at its start or after hours.

    Raises:
        ConfigError: with the size, the limit and what to leave out.
    """
    size = WorkflowSize.of(pipeline, platform)
    if size.total <= MOST_BYTES:
        return
    remedy = _remedy(pipeline, platform)
    raise ConfigError(
        f"The pipeline would be a workflow of about {size.total:,} bytes ({size.spec:,} of specification and"
        f" {size.nodes:,} of packed node status), and Argo refuses more than {MOST_BYTES:,}: {remedy}."
    )


def _remedy(pipeline: Json, platform: Json) -> str:
    """What to leave out so that the pipeline fits."""
    loop = next((task for task in pipeline["root"]["dag"]["tasks"].values() if "parameterIterator" in task), None)
    for fewer in range(len(_items(loop)) - 1 if loop else 0, 0, -1):
        shorter = deepcopy(dict(pipeline))
        for task in shorter["root"]["dag"]["tasks"].values():
            if "parameterIterator" in task:
                task["parameterIterator"]["items"]["raw"] = json.dumps(_items(task)[:fewer])
        if WorkflowSize.of(shorter, platform).total <= MOST_BYTES:
            return f"name {fewer} seeds at most, or fewer strategies"
    return "name fewer strategies, or use fewer shards"


def task_starts(pipeline: Json, part: Json, collected: int = 1) -> Iterator[int]:
    """The bytes of what each container of a run is started with (Kubeflow's executor input), once an iteration.

    Args:
        pipeline: the compiled file's first document.
        part: the root, a loop or a pipeline inside the pipeline.
        collected: how many iterations the loops of the part have, whose artifacts a task may collect.
    """
    tasks = part["dag"]["tasks"].values()
    loops = [len(_items(task)) for task in tasks if "parameterIterator" in task]
    for task in tasks:
        component = pipeline["components"][task["componentRef"]["name"]]
        if "dag" not in component:
            yield _start(task, component, max(loops, default=collected))
            continue
        inside = list(task_starts(pipeline, component, collected))
        yield from inside * len(_items(task))


def _start(task: Json, component: Json, collected: int) -> int:
    inputs, outputs = task.get("inputs", {}), component.get("outputDefinitions", {})
    artifacts = component.get("inputDefinitions", {}).get("artifacts", {})
    given = sum(collected if artifacts[name].get("isArtifactList") else 1 for name in inputs.get("artifacts", {}))
    values = [
        value.get("runtimeValue", {}).get("constant", "x" * _PARAMETER)
        for value in inputs.get("parameters", {}).values()
    ]
    text = sum(len(json.dumps(value)) + 20 for value in values)
    return _START + _INPUT * given + _OUTPUT * len(outputs.get("artifacts", {})) + text


def _items(task: Json) -> list[Any]:
    """The items of a loop, which all stand in the compiled file; one where the task is none."""
    iterator = task.get("parameterIterator")
    return list(json.loads(iterator["items"]["raw"])) if iterator else [None]
