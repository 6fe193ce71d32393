"""What Kubeflow's cache knows a task by, computed as the backend does (2.17.0).

Sources: backend/src/v2/cacheutils/cache.go (GenerateCacheKey, GenerateFingerPrint), backend/src/v2/driver/cache.go
(getFingerPrint) and driver.go (provisionOutputs), whose entries are found by fingerprint, pipeline name and namespace.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.backend.compiled_file import CompiledFile, Json, Task

Told = dict[str, bool]
"""Title of a task -> whether it came from the cache."""


@dataclass
class Cluster:
    """A Kubeflow that has run pipelines: the outputs of every task, by pipeline name and fingerprint."""

    entries: dict[tuple[str, str], Json] = field(default_factory=dict)
    _ids: Any = field(default_factory=lambda: count(1))

    def run(self, compiled: CompiledFile, arguments: Mapping[str, Any]) -> Told:
        """Run a pipeline.

        Returns the title of every task, behind the item of its loop -> whether it came from the cache.
        """
        cached: Told = {}
        root = compiled.pipeline["root"]
        definitions = root.get("inputDefinitions", {}).get("parameters", {})
        defaults = {name: one["defaultValue"] for name, one in definitions.items() if "defaultValue" in one}
        self._run_dag(compiled, root, {**defaults, **arguments}, {}, "", cached)
        return cached

    def _run_dag(
        self,
        compiled: CompiledFile,
        part: Json,
        parameters: Json,
        artifacts: Json,
        prefix: str,
        cached: dict[str, bool],
    ) -> Json:
        """Run the tasks of a pipeline or a loop, and return their outputs by task and name."""
        made: Json = {}
        waiting = {task.key: task for task in compiled.inside(part) if task.spec is part["dag"]["tasks"].get(task.key)}
        while waiting:
            ready = [t for t in waiting.values() if not set(t.spec.get("dependentTasks", ())) & waiting.keys()]
            assert ready, f"the tasks wait for each other: {sorted(waiting)}"
            for task in ready:
                made[task.key] = self._run_task(compiled, task, parameters, artifacts, made, prefix, cached)
                del waiting[task.key]
        return made

    def _run_task(
        self,
        compiled: CompiledFile,
        task: Task,
        parameters: Json,
        artifacts: Json,
        made: Json,
        prefix: str,
        cached: Any,
    ) -> Json:
        inputs = {name: _parameter(one, parameters, made) for name, one in task.given("parameters").items()}
        ids = {name: _artifact(one, artifacts, made) for name, one in task.given("artifacts").items()}
        if task.is_loop:
            items = json.loads(task.spec["parameterIterator"]["items"]["raw"])
            item = task.spec["parameterIterator"]["itemInput"]
            rounds = [
                self._outputs(compiled, task, {**inputs, item: one}, ids, f"{prefix}{one} ", cached) for one in items
            ]
            return {name: [one[name] for one in rounds] for name in rounds[0]}
        if task.is_dag:
            return self._outputs(compiled, task, inputs, ids, prefix, cached)
        title = prefix + task.title
        if "importer" in task.executor:
            return dict.fromkeys(task.component["outputDefinitions"]["artifacts"], next(self._ids))
        entry = (compiled.name, fingerprint(task, inputs, ids))
        enabled = bool(task.spec.get("cachingOptions", {}).get("enableCache"))
        cached[title] = enabled and entry in self.entries
        if not cached[title]:
            outputs = task.component.get("outputDefinitions", {})
            new = {name: str(next(self._ids)) for kind in outputs.values() for name in kind}
            if not enabled:
                return new
            self.entries[entry] = new
        return self.entries[entry]

    def _outputs(
        self, compiled: CompiledFile, task: Task, parameters: Json, artifacts: Json, prefix: str, cached: Told
    ) -> Json:
        """What a pipeline or an iteration hands out of the outputs of its tasks."""
        made = self._run_dag(compiled, task.component, parameters, artifacts, prefix, cached)
        given: Json = {}
        outputs = task.component["dag"].get("outputs", {})
        for name, one in outputs.get("artifacts", {}).items():
            chosen = one["artifactSelectors"][0]
            given[name] = made[chosen["producerSubtask"]][chosen["outputArtifactKey"]]
        for name, one in outputs.get("parameters", {}).items():
            chosen = one["valueFromParameter"]
            given[name] = made[chosen["producerSubtask"]][chosen["outputParameterKey"]]
        return given


def fingerprint(task: Task, parameters: Json, artifacts: Json) -> str:
    """The fingerprint of a task.

    Args:
        task: a task with a container.
        parameters: its input parameters by name.
        artifacts: id, or list of ids, of each of its input artifacts.
    """
    container, outputs = task.executor["container"], task.component.get("outputDefinitions", {})
    claims = sorted({claim["constant"] for claim in task.pod.get("pvcMount", ()) if "constant" in claim})
    spec = {"image": container["image"], "cmdArgs": [*container.get("command", ()), *container.get("args", ())]}
    key = {
        "inputArtifactNames": {
            name: {"artifactNames": ids if isinstance(ids, list) else [ids]} for name, ids in artifacts.items()
        },
        "inputParameterValues": parameters,
        "outputArtifactsSpec": {
            name: {"name": name, "type": one["artifactType"]} for name, one in outputs.get("artifacts", {}).items()
        },
        "outputParametersSpec": {name: one["parameterType"] for name, one in outputs.get("parameters", {}).items()},
        "containerSpec": spec | ({"pvcNames": claims} if claims else {}),
    }
    return hashlib.sha256(_go_json({name: value for name, value in key.items() if value})).hexdigest()


def _go_json(value: Any) -> bytes:
    """JSON as Go's encoding/json writes it: sorted keys, no spaces, and `<`, `>` and `&` escaped."""
    text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode()


def _whole(value: Any) -> Any:
    """The value with whole numbers written as such, as Go writes 1.0."""
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parameter(source: Json, parameters: Json, made: Json) -> Any:
    if "runtimeValue" in source:
        return source["runtimeValue"]["constant"]
    if "componentInputParameter" in source:
        return parameters[source["componentInputParameter"]]
    if "taskFinalStatus" in source:
        return {"state": "COMPLETE"}
    chosen = source["taskOutputParameter"]
    return made[chosen["producerTask"]][chosen["outputParameterKey"]]


def _artifact(source: Json, artifacts: Json, made: Json) -> Any:
    if "componentInputArtifact" in source:
        return artifacts[source["componentInputArtifact"]]
    chosen = source["taskOutputArtifact"]
    return made[chosen["producerTask"]][chosen["outputArtifactKey"]]
