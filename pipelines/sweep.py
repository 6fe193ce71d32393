"""Several strategies under several seeds as one pipeline: their prefix tree, unrolled when it is compiled.

    per seed:  prepare -> per node of the tree: bootstrap (shared by its children) -> optimise -> per arm: score
    then:      compare -> the winner's files, fetched by their URIs -> report

An arm is the last program of its strategy. The vanilla program is the same under every seed and is scored once.
"""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from bt_components.compare_arms.component import compare_arms
from bt_components.prepare_data.component import prepare_data
from bt_components.report_sweep.component import report_sweep
from bt_components.score_program.component import score_program
from bt_core.errors import ConfigError
from bt_core.statistics import DEFAULT_MARGIN
from bt_core.steps.sweep.tree import SweepStage, check_sweep, tasks_a_seed
from bt_core.strategy import Node, Strategy, format_strategy, prefix_tree
from bt_pipelines.better_together import DEFAULT_OPTIONS, Options
from bt_pipelines.pods.apply import pipeline_config
from bt_pipelines.tasks import Tasks, legend
from bt_runtime.tracking import SWEEP

#: The most reports that compare_arms can take: two copies, 300 to 400 bytes each, in one argument of 128 KB.
MOST_REPORTS = 150


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
        name="better-together-sweep",
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
        command: str = "",
    ) -> None:
        chosen = {"task": task, "model": model, "data": data, "config": config}
        rows = {"train_rows": train_rows, "val_rows": val_rows, "test_rows": test_rows}
        prepared = []
        for seed in seeds:
            task_of_seed = prepare_data(seed=seed, data_seed=seeds[0], **chosen, **rows)
            prepared.append(tasks.add_prepared(task_of_seed, f"s{seed} prepare data"))
        _add_score(tasks, SweepStage(seeds[0], (), "score"), prepared[0]["program"], prepared[0])
        for seed, outputs in zip(seeds, prepared, strict=True):
            _add_tree(tasks, seed, prefix_tree(strategies), outputs)
        names = list(map(format_strategy, strategies))
        rules = {"strategies": names, "margin": margin, "alpha": alpha, "command": command}
        config_of_first = prepared[0]["config"]
        compared = compare_arms(reports=tasks.reports, config=config_of_first, **rules)
        _add_report(tasks, compared, config_of_first)

    return better_together_sweep


def _check(strategies: Sequence[Strategy], seeds: Sequence[int], options: Options) -> None:
    check_sweep(strategies, seeds)
    if options.whole_profile.fuse:
        raise ConfigError(
            "A sweep cannot be fused, since its strategies share their first steps: leave out `--fuse`, or `fuse` in"
            " the profile."
        )
    reports = len(seeds) * tasks_a_seed(strategies) + 1
    if reports > MOST_REPORTS:
        raise ConfigError(
            f"The sweep has {reports} tasks to compare, and Kubeflow can hand over the reports of {MOST_REPORTS}: "
            "name fewer seeds or strategies."
        )


def _add_tree(tasks: Tasks, seed: int, nodes: Sequence[Node], data: Any) -> None:
    """Add the tree of one seed, and a score for each of its arms."""
    programs: dict[Strategy, Any] = {(): data["program"]}
    traces: dict[Strategy, Any] = {}
    for node in nodes:
        parent = node.parent
        if parent not in traces:
            label = SweepStage(seed, parent, "bootstrap").label
            traces[parent] = tasks.add_bootstrap(label, programs[parent], data)
        label = SweepStage(seed, node.prefix).label
        programs[node.prefix] = tasks.add_step(label, node.kind, programs[parent], traces[parent], data)
        if node.is_wanted:
            _add_score(tasks, SweepStage(seed, node.prefix, "score"), programs[node.prefix], data)


def _add_score(tasks: Tasks, stage: SweepStage, program: Any, data: Any) -> None:
    inputs = {"program": program, "test": data["test"], "config": data["config"]}
    scored = tasks.add(score_program, stage.label, "on the test split", uses_model=True, **inputs)
    scored.set_caching_options(False)  # every sweep scores on the test split itself


def _add_report(tasks: Tasks, compared: Any, config: Any) -> None:
    compared.set_caching_options(False)  # its reports hold wall times and run ids
    tasks.configure(compared, "compare arms")
    fetched = {
        name: _fetch(compared.outputs[output], kind, title)
        for name, output, kind, title in (
            ("winner", "program", dsl.Model, "the winner's program"),
            ("results", "results", dsl.Dataset, "the winner's results"),
            ("vanilla", "vanilla", dsl.Dataset, "vanilla's results"),
        )
    }
    report = report_sweep(compared=compared.outputs["sweep"], config=config, **fetched)
    report.set_caching_options(False)
    tasks.configure(report, "report sweep")


def _fetch(uri: Any, kind: type[dsl.Artifact], title: str) -> Any:
    """An artifact whose URI is known only when the pipeline runs, since Kubeflow cannot pass on a list of artifacts."""
    importer = dsl.importer(artifact_uri=uri, artifact_class=kind, reimport=False)
    importer.set_display_name(title)
    return importer.output


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
