"""Rules of Kubeflow's backend (2.17.0) that a compiled file must keep, each with the source that it stands for.

A rule returns a sentence for each violation. Paths are those of kubeflow/pipelines below backend/src, or
of argo-workflows.
"""

import re
from collections.abc import Callable, Iterator

from tests.backend.compiled_file import CompiledFile, Task

Rule = Callable[[CompiledFile], Iterator[str]]

#: Kubernetes' pattern of a DNS label (apimachinery, validation.IsDNS1123Label) and of names with dots.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DURATION = re.compile(r"\d+(\.\d+)?s")


def an_importer_reads_parameters_of_its_pipeline_only(compiled: CompiledFile) -> Iterator[str]:
    """v2/compiler/argocompiler/importer.go gives an importer's task no `Depends`, so that it starts with its pipeline.

    v2/component/importer_launcher.go resolves an address that is known at run time as an input of that pipeline only.
    """
    for task in _importers(compiled):
        uri = task.given("parameters").get("uri", {})
        if not uri.keys() & {"componentInputParameter", "runtimeValue"}:
            yield f"the importer {task.key} reads the output of another task of its pipeline"
        if task.spec.get("dependentTasks"):
            yield f"the importer {task.key} does not wait for {task.spec['dependentTasks']}"


def an_importer_has_no_title_of_its_own(compiled: CompiledFile) -> Iterator[str]:
    """v2/component/importer_launcher.go stores the task under its display name, and its consumers look for its key."""
    for task in _importers(compiled):
        if task.title != task.key:
            yield f"nobody finds the importer {task.key} under its title `{task.title}`"


def the_outputs_of_a_loop_are_found(compiled: CompiledFile) -> Iterator[str]:
    """v2/driver/resolve.go looks for a loop's tasks under its key, and v2/driver/dag.go stores it under its title."""
    for task in compiled.tasks():
        if task.is_loop and task.title != task.key:
            yield f"nobody finds the outputs of the loop {task.key} under its title `{task.title}`"


def retries_are_numbers_that_let_every_try_end(compiled: CompiledFile) -> Iterator[str]:
    """The factor must be a whole number (argo: workflow/controller/operator.go, processNodeRetries).

    `maxDuration` counts from the beginning of the first try, and is the deadline of a later one (the same function).
    """
    for task in compiled.tasks():
        policy = task.spec.get("retryPolicy")
        if not policy:
            continue
        count, factor = policy["maxRetryCount"], policy.get("backoffFactor", 2.0)
        if float(factor) != int(factor):
            yield f"{task.key} has a backoff factor of {factor}"
            continue
        first = _seconds(policy["backoffDuration"])
        waits = sum(first * factor**number for number in range(int(count)))
        limit = task.pod.get("activeDeadlineSeconds")
        needed = waits + (int(count) + 1) * float(limit or 86_400)
        if _seconds(policy["backoffMaxDuration"]) < needed:
            yield f"{task.key} ends its retries after {policy['backoffMaxDuration']}, and its tries need {needed:.0f} s"


def names_are_those_of_kubernetes(compiled: CompiledFile) -> Iterator[str]:
    """A claim's name becomes the name of a volume (v2/driver/k8s.go), which is a DNS label."""
    for task in compiled.tasks():
        for claim in task.pod.get("pvcMount", ()):
            if not _LABEL.fullmatch(claim["constant"]):
                yield f"{task.key} mounts the claim `{claim['constant']}`, whose name is no name of a volume"
        for kind in ("secretAsEnv", "configMapAsEnv", "imagePullSecret"):
            for one in task.pod.get(kind, ()):
                name = one.get("secretName") or one.get("configMapName") or ""
                if not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
                    yield f"{task.key} names `{name}`, which Kubernetes does not take"


def a_password_is_in_no_file(compiled: CompiledFile) -> Iterator[str]:
    """The compiled file is kept in the API's database and on every workflow, where many may read it."""
    if re.search(r"://[^/\s\"']+:[^/\s\"']+@", str(compiled.pipeline)):
        yield "an address holds a password"


def only_an_exit_handler_asks_how_the_run_ended(compiled: CompiledFile) -> Iterator[str]:
    """v2/driver/resolve.go fills in a final status only for a task that runs after all others have ended."""
    for task in compiled.tasks():
        asks = any("taskFinalStatus" in one for one in task.given("parameters").values())
        strategy = task.spec.get("triggerPolicy", {}).get("strategy")
        if asks and strategy != "ALL_UPSTREAM_TASKS_COMPLETED":
            yield f"{task.key} asks for the final status, but does not run after a failure"


def lists_of_outputs_hold_no_quotes(compiled: CompiledFile) -> Iterator[str]:
    """v2/driver/resolve.go pastes outputs into a list unescaped: only reports, which are base64url, survive that."""
    for task in compiled.tasks():
        for name, source in task.given("parameters").items():
            values = source.get("runtimeValue", {}).get("constant")
            if not isinstance(values, list):
                continue
            if any("pipelinechannel--" in str(value) for value in values) and "reports" not in name:
                yield f"`{name}` of {task.key} is a list of outputs that may hold quotes"


#: Every rule.
RULES: tuple[Rule, ...] = (
    an_importer_reads_parameters_of_its_pipeline_only,
    an_importer_has_no_title_of_its_own,
    the_outputs_of_a_loop_are_found,
    retries_are_numbers_that_let_every_try_end,
    names_are_those_of_kubernetes,
    a_password_is_in_no_file,
    only_an_exit_handler_asks_how_the_run_ended,
    lists_of_outputs_hold_no_quotes,
)


def _importers(compiled: CompiledFile) -> Iterator[Task]:
    return (task for task in compiled.tasks() if "importer" in task.executor)


def _seconds(duration: str) -> float:
    assert _DURATION.fullmatch(duration), duration
    return float(duration.removesuffix("s"))
