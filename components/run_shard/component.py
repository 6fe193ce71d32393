"""Component: run a program on one shard of a split."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def run_shard(
    program: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    stage: str,
    shard: int,
    shards: int,
    bootstrapping: bool,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run a program on one shard of a split and write a scored trace of every run."""
    from bt_core.errors import one_sentence
    from bt_runtime.shard_tasks import run_one

    with one_sentence():
        return run_one(program.path, rows.path, stage, (shard, shards), bootstrapping, traces.path, metrics)
