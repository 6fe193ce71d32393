"""Bootstrap and evaluation over several pods: a ParallelFor over shards of the rows, and a merge (docs/shards.md).

Loop and merge are a pipeline of their own that is made before the one around it, and used there as a component is. In a
flat pipeline `kfp.local` (2.17) gives the loop's item in place of every parameter that a loop takes from a task; what
comes from the inputs of the loop's own pipeline, it leaves alone.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from kfp import dsl

from bt_components.merge_evaluation.component import merge_evaluation
from bt_components.merge_traces.component import merge_traces
from bt_components.run_shard.component import run_shard

Configure = Callable[..., None]
"""`Tasks.configure`: names a task and gives its pod what it needs; (task, display name, uses_model=...)."""


class Traces(NamedTuple):
    """What `sharded_bootstrap` gives, as `bootstrap_traces` does."""

    traces: dsl.Dataset
    Output: str


class Results(NamedTuple):
    """What `sharded_evaluation` gives, as `evaluate` does."""

    results: dsl.Dataset
    Output: str


def sharded_bootstrap(shards: int, configure: Configure) -> Any:
    """A component in place of `bootstrap_traces`; no pipeline may be under construction."""

    @dsl.pipeline(name="sharded-bootstrap")
    def sharded_bootstrap(
        program: dsl.Input[dsl.Model], train: dsl.Input[dsl.Dataset], config: str, stage: str
    ) -> Traces:
        parts, reports = _run(shards, configure, "shard", program=program, rows=train, config=config, stage=stage)
        merged = merge_traces(parts=parts, reports=reports, train=train, config=config, stage=stage)
        configure(merged, "traces of all shards")
        return Traces(merged.outputs["traces"], merged.outputs["Output"])

    return sharded_bootstrap


def sharded_evaluation(shards: int, configure: Configure) -> Any:
    """A component in place of `evaluate`, likewise; every run looks at the test split itself."""

    @dsl.pipeline(name="sharded-evaluation")
    def sharded_evaluation(
        vanilla: dsl.Input[dsl.Model],
        program: dsl.Input[dsl.Model],
        test: dsl.Input[dsl.Dataset],
        config: str,
        stage: str,
    ) -> Results:
        pairs = {}
        for name, one in (("vanilla", vanilla), ("final", program)):
            inputs = {"program": one, "rows": test, "config": config, "stage": f"evaluate.{name}"}
            pairs[name], pairs[f"{name}_reports"] = _run(shards, configure, f"evaluate.{name} shard", name, **inputs)
        merged = merge_evaluation(**pairs, test=test, config=config, stage=stage)
        configure(merged, "on the test split")
        merged.set_caching_options(False)
        return Results(merged.outputs["results"], merged.outputs["Output"])

    return sharded_evaluation


def _run(
    shards: int, configure: Configure, title: str, tested: str = "", **inputs: Any
) -> tuple[dsl.Collected, dsl.Collected]:
    """Add the shards; their traces and their reports. `tested` names a program that sees the test split."""
    # Two tasks of one name in this pipeline would be renamed in no fixed order when the one around it takes them in.
    component = deepcopy(run_shard)
    component.component_spec.name = f"run-shard-{tested}".rstrip("-")
    # Without a name: Kubeflow looks for what a named loop has collected under another name, and finds nothing.
    with dsl.ParallelFor(items=list(range(shards))) as shard:
        task = component(**inputs, shard=shard, shards=shards, bootstrapping=not tested)
        task.component_spec = run_shard.component_spec  # by whose name the profile knows it
        configure(task, title, uses_model=True)
        task.set_caching_options(not tested)
    return dsl.Collected(task.outputs["traces"]), dsl.Collected(task.outputs["Output"])
