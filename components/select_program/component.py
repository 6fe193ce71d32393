"""Component: choose the better of two programs by validation score."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def select_program(
    incumbent: dsl.Input[dsl.Model],
    challenger: dsl.Input[dsl.Model],
    config: str,
    stage: str,
    selected: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Copy the program with the better validation score in its lineage; on ties, the earlier one."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.select import select
    from bt_runtime.finish import finish

    with one_sentence():
        rivals = Path(incumbent.path), Path(challenger.path)
        report = select(*rivals, read_config(config), stage, Path(selected.path))
        return finish(report, config, metrics, {})
