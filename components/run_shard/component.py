"""Component: run a program on one shard of a split."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def run_shard(
    program: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    shard: int,
    shards: int,
    bootstrapping: bool,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run a program on one shard of a split and write a scored trace of every run."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.shards import run_shard as run
    from bt_runtime.finish import finish_shard

    with one_sentence():
        inputs = Path(program.path), Path(rows.path), read_config(config)
        report = run(*inputs, stage, (shard, shards), bootstrapping, Path(traces.path))
        return finish_shard(report, metrics)
