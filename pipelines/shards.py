"""Bootstrap and evaluation over several pods: a ParallelFor over shards of the rows, and a merge (docs/shards.md).

Loop and merge are a pipeline of their own, which is built before the one around it and used there like a component. In
a flat pipeline, `kfp.local` (2.17) replaces every parameter that a loop takes from a task by the item of the loop; it
does not touch those that come from the inputs of the loop's own pipeline.

`_run` sets `component_spec` of a component and of a task, which Kubeflow's SDK (2.17) does not document.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from kfp import dsl

from bt_components.merge_evaluation.component import merge_evaluation
from bt_components.merge_traces.component import merge_traces
from bt_components.run_shard.component import run_shard

Configure = Callable[..., None]
"""`bt_pipelines.tasks.Tasks.configure`, which names a task and gives its pod what it needs."""


class Traces(NamedTuple):
    """The outputs of `sharded_bootstrap`, which are those of `bootstrap_traces`."""

    traces: dsl.Dataset
    Output: str


class Results(NamedTuple):
    """The outputs of `sharded_evaluation`, which are those of `evaluate`."""

    results: dsl.Model
    Output: str


def sharded_bootstrap(shards: int, configure: Configure) -> Any:
    """A component in place of `bootstrap_traces`; call this while no other pipeline is being built."""

    @dsl.pipeline(name="sharded-bootstrap")
    def sharded_bootstrap(program: dsl.Input[dsl.Model], rows: dsl.Input[dsl.Dataset], stage: str) -> Traces:
        parts, reports = _run(shards, configure, "shard", program=program, rows=rows, stage=stage)
        merged = merge_traces(parts=parts, reports=reports, program=program, rows=rows, stage=stage)
        configure(merged, "traces of all shards")
        return Traces(merged.outputs["traces"], merged.outputs["Output"])

    return sharded_bootstrap


def sharded_evaluation(shards: int, configure: Configure) -> Any:
    """A component in place of `evaluate`; call this while no other pipeline is being built. It is never cached."""

    @dsl.pipeline(name="sharded-evaluation")
    def sharded_evaluation(
        vanilla: dsl.Input[dsl.Model],
        program: dsl.Input[dsl.Model],
        test: dsl.Input[dsl.Dataset],
        stage: str,
    ) -> Results:
        pairs = {}
        for name, scored in (("vanilla", vanilla), ("final", program)):
            inputs = {"program": scored, "rows": test, "stage": f"evaluate.{name}"}
            pairs[name], pairs[f"{name}_reports"] = _run(shards, configure, f"evaluate.{name} shard", name, **inputs)
        merged = merge_evaluation(**pairs, program=program, test=test, stage=stage)
        configure(merged, "on the test split")
        merged.set_caching_options(False)
        return Results(*(merged.outputs[name] for name in Results._fields))

    return sharded_evaluation


def _run(
    shards: int, configure: Configure, title: str, tested: str = "", **inputs: Any
) -> tuple[dsl.Collected, dsl.Collected]:
    """Add the shards, and return their traces and their reports.

    Args:
        shards: how many there are.
        configure: gives each shard's pod what it needs.
        title: display name of a shard.
        tested: name of the program that runs on the test split; empty for a bootstrap.
        inputs: the other inputs of `run_shard`.
    """
    # The SDK renames two tasks of one name in no fixed order when the pipeline around this one takes them in.
    component = deepcopy(run_shard)
    component.component_spec.name = f"run-shard-{tested}".rstrip("-")
    # The loop has no name: Kubeflow looks for the outputs of a named loop under another name and does not find them.
    with dsl.ParallelFor(items=list(range(shards))) as shard:
        task = component(**inputs, shard=shard, shards=shards, bootstrapping=not tested)
        task.component_spec = run_shard.component_spec  # the profile knows it by this name
        configure(task, title, uses_model=True)
        task.set_caching_options(not tested)
    return dsl.Collected(task.outputs["traces"]), dsl.Collected(task.outputs["Output"])
