"""Component: merge the traces of all shards into one bootstrap."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_traces(
    parts: dsl.Input[list[dsl.Dataset]],
    reports: list[str],
    program: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    stage: str,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Merge the shards' traces in the order of the rows."""
    from bt_core.errors import one_sentence
    from bt_runtime.shard_tasks import merge_train

    with one_sentence():
        shards = [part.path for part in parts], reports
        return merge_train(shards, program.path, rows.path, stage, traces.path, metrics)
