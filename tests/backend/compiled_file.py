"""A compiled file as Kubeflow's backend sees it: every task with its component, container and pod."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task of a pipeline, or of a pipeline or loop inside it.

    Attributes:
        key: its name in the pipeline that it is in.
        spec: what the compiled file says of it.
        component: the component that it runs.
        executor: its container or importer; empty for a pipeline or a loop.
        pod: what its pod asks of Kubernetes; empty for a pipeline or a loop.
        siblings: the tasks of the pipeline that it is in, by key.
    """

    key: str
    spec: Json
    component: Json
    executor: Json
    pod: Json
    siblings: Mapping[str, Json]

    @property
    def title(self) -> str:
        """The display name."""
        return str(self.spec["taskInfo"]["name"])

    @property
    def is_loop(self) -> bool:
        return "parameterIterator" in self.spec or "artifactIterator" in self.spec

    @property
    def is_dag(self) -> bool:
        return "dag" in self.component

    def given(self, kind: str) -> Mapping[str, Json]:
        """Its inputs, `parameters` or `artifacts`."""
        return dict(self.spec.get("inputs", {}).get(kind, {}))


@dataclass(frozen=True)
class CompiledFile:
    """The two documents of a compiled file."""

    pipeline: Json
    platform: Json

    @classmethod
    def read(cls, path: Path) -> "CompiledFile":
        """Read a compiled file; its second document is missing where no task asks anything of Kubernetes."""
        pipeline, platform = cls.documents(path)
        return cls(pipeline, platform["platforms"]["kubernetes"] if platform else {})

    @staticmethod
    def documents(path: Path) -> tuple[Json, Json]:
        """The pipeline and its part for Kubernetes, which is empty where no task asks anything of it."""
        pipeline, *platform = yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return pipeline, platform[0] if platform else {}

    @property
    def name(self) -> str:
        return str(self.pipeline["pipelineInfo"]["name"])

    def tasks(self) -> Iterator[Task]:
        """Every task, those of the pipeline itself first."""
        yield from self.inside(self.pipeline["root"])

    def inside(self, part: Json) -> Iterator[Task]:
        """Every task of a part that is a pipeline or a loop, then those inside its tasks."""
        siblings = part["dag"]["tasks"]
        own = [self._task(key, spec, siblings) for key, spec in siblings.items()]
        yield from own
        for task in own:
            if task.is_dag:
                yield from self.inside(task.component)

    def runs(self) -> int:
        """How many containers and importers a run starts; an iteration counts by itself."""

        def count(part: Json) -> int:
            total = 0
            for key, spec in part["dag"]["tasks"].items():
                task = self._task(key, spec, {})
                items = json.loads(spec["parameterIterator"]["items"]["raw"]) if task.is_loop else [None]
                total += len(items) * (count(task.component) if task.is_dag else 1)
            return total

        return count(self.pipeline["root"])

    def _task(self, key: str, spec: Json, siblings: Mapping[str, Json]) -> Task:
        component = self.pipeline["components"][spec["componentRef"]["name"]]
        label = component.get("executorLabel", "")
        executor = self.pipeline["deploymentSpec"].get("executors", {}).get(label, {})
        pod = self.platform.get("deploymentSpec", {}).get("executors", {}).get(label, {})
        return Task(key, spec, component, executor, pod, siblings)
