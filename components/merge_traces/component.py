"""Component: merge the traces of all shards into one bootstrap."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_traces(
    parts: dsl.Input[list[dsl.Dataset]],
    reports: list[str],
    train: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Merge the shards' traces in the order of the rows."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.shards import merge_bootstrap
    from bt_runtime.finish import finish
    from bt_runtime.reports import read_report

    with one_sentence():
        paths, shard_reports = [Path(part.path) for part in parts], [read_report(report) for report in reports]
        report = merge_bootstrap(paths, shard_reports, Path(train.path), read_config(config), stage, Path(traces.path))
        return finish(report, config, metrics, {"traces.jsonl": traces.path}, {"train": train.path})
