"""Several strategies under several seeds as one pipeline: their prefix tree, unrolled when it is compiled.

    for each seed:  prepare -> per node of the tree: bootstrap (shared by its children) -> optimise -> scores
    then:           compare -> the winner's program, fetched by its address -> report

An arm is the last program of its strategy. The vanilla program is the same under every seed and is scored once. The
seeds are a loop, so that the compiled file is as long for ten seeds as for one.
"""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from bt_components.compare_arms.component import compare_arms
from bt_components.prepare_data.component import prepare_data
from bt_components.report_sweep.component import report_sweep
from bt_components.score_arms.component import score_arms
from bt_core.errors import ConfigError
from bt_core.statistics import DEFAULT_MARGIN
from bt_core.steps.sweep.tree import check_sweep, position
from bt_core.strategy import Strategy, format_strategy, prefix_tree
from bt_pipelines.better_together import DEFAULT_OPTIONS, Options
from bt_pipelines.pods.apply import pipeline_config
from bt_pipelines.tasks import PIPELINE, Tasks, legend
from bt_runtime.tracking import SWEEP

#: The most arms: inputs of the component `score_arms`.
MOST_ARMS = 16


@dsl.pipeline(name="fetch")
def fetch(address: str) -> dsl.Model:
    """A program whose address is known only when the pipeline runs.

    It is a pipeline around the importer, since Kubeflow starts an importer together with the pipeline that it is in,
    and reads its address from that pipeline's parameters only (backend/src/v2/compiler/argocompiler/importer.go and
    backend/src/v2/component/importer_launcher.go).
    """
    return dsl.importer(artifact_uri=address, artifact_class=dsl.Model, reimport=False).output


def build_sweep(strategies: Sequence[Strategy], seeds: Sequence[int], options: Options = DEFAULT_OPTIONS) -> Any:
    """The pipeline of a sweep, ready to compile.

    Its parameters are those of a single strategy without the seed, and those of the comparison. All seeds have the
    splits of the first one, unless `config` has a `data_seed`.

    Raises:
        ConfigError: when there is no strategy or no seed, one is named twice, there are too many, or the steps are to
            share a pod.
    """
    _check(strategies, seeds, options)
    arms = "; ".join(map(format_strategy, strategies))
    tasks = Tasks(SWEEP, options.whole_profile)

    @dsl.pipeline(
        name=PIPELINE,
        pipeline_config=pipeline_config(options.whole_profile),
        display_name="BetterTogether sweep",
        description=f"Compares the strategies {arms} ({legend(strategies)}) under seeds {_listed(seeds)}.",
    )
    def better_together_sweep(
        task: str = "",
        model: str = "",
        data: str = "",
        train_rows: int = -1,
        val_rows: int = -1,
        test_rows: int = -1,
        config: str = "",
        margin: float = DEFAULT_MARGIN,
        alpha: float = 0.05,
        look: int = 1,
        looks: int = 1,
        command: str = "",
        ship: str = "",
        max_prompt_tokens: float = 0.0,
    ) -> None:
        chosen = {"task": task, "model": model, "data": data, "config": config}
        sizes = {"train_rows": train_rows, "val_rows": val_rows, "test_rows": test_rows}
        # The loop has no name: Kubeflow looks for the outputs of a named loop under another name.
        with dsl.ParallelFor(items=list(seeds)) as seed:
            prepared = prepare_data(seed=seed, data_seed=seeds[0], **chosen, **sizes)
            scored = _add_tree(tasks, strategies, seeds[0], tasks.add_prepared(prepared))
        names = list(map(format_strategy, strategies))
        rules: dict[str, Any] = {"margin": margin, "alpha": alpha, "look": look, "looks": looks}
        rules |= {"command": command, "ship": ship, "max_prompt_tokens": max_prompt_tokens}
        _add_report(tasks, compare_arms(seeds=dsl.Collected(scored), strategies=names, **rules))

    return better_together_sweep


def _check(strategies: Sequence[Strategy], seeds: Sequence[int], options: Options) -> None:
    check_sweep(strategies, seeds)
    if options.whole_profile.fuse:
        raise ConfigError(
            "A sweep cannot be fused, since its strategies share their first steps: leave out `--fuse`, or `fuse` in"
            " the profile."
        )
    if len(strategies) > MOST_ARMS:
        raise ConfigError(
            f"The sweep has {len(strategies)} strategies, and one task can score {MOST_ARMS}: name fewer."
        )


def _add_tree(tasks: Tasks, strategies: Sequence[Strategy], first_seed: int, data: Any) -> Any:
    """Add the tree of one seed and the scores of its arms, and return the artifact of the scores."""
    programs: dict[Strategy, Any] = {(): data["program"]}
    traces: dict[Strategy, Any] = {}
    for node in prefix_tree(strategies):
        parent, number = node.parent, len(node.prefix)
        if parent not in traces:
            traces[parent] = tasks.add_bootstrap(number, position(parent, "bootstrap"), programs[parent], data)
        step = number, node.kind, position(node.prefix)
        programs[node.prefix] = tasks.add_step(*step, programs[parent], traces[parent])
    arms = {f"arm_{number}": programs[strategy] for number, strategy in enumerate(strategies, start=1)}
    inputs = {"vanilla": data["program"], "test": data["test"], "vanilla_seed": first_seed}
    scored = tasks.add(score_arms, "score", "score on the test split", **inputs, **arms)
    scored.set_caching_options(False)  # every sweep scores on the test split itself
    return scored.outputs["scored"]


def _add_report(tasks: Tasks, compared: Any) -> None:
    compared.set_caching_options(False)  # its reports hold wall times and run ids
    tasks.configure(compared, "compare arms")
    winner = fetch(address=compared.outputs["program"]).set_display_name("the winner's program")
    report = report_sweep(compared=compared.outputs["compared"], winner=winner.output)
    report.set_caching_options(False)
    tasks.configure(report, "report sweep")


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
