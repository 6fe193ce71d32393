"""Component: run the program on the train split and keep every trace."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def bootstrap_traces(
    program: dsl.Input[dsl.Model],
    train: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    traces: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Run a program on the train split and write a scored trace of every run, failed runs included."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.bootstrap import bootstrap
    from bt_runtime.finish import finish

    with one_sentence():
        report = bootstrap(Path(program.path), Path(train.path), read_config(config), stage, Path(traces.path))
        return finish(report, config, metrics, {"traces.jsonl": traces.path}, {"train": train.path})
