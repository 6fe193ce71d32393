"""Component: the rows of a retraining, the program to start from, and the champion."""

from typing import NamedTuple

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fresh_data(
    task: str,
    seed: int,
    model: str,
    data: str,
    config: str,
    train: dsl.Output[dsl.Dataset],
    val: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    rows: dsl.Output[dsl.Dataset],
    program: dsl.Output[dsl.Model],
    champion: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Outputs", [("config", str), ("report", str), ("incumbent", str)]):  # type: ignore[valid-type]
    """Read the newest data, keep sealed rows sealed, and report whether there is enough to do."""
    from pathlib import Path

    from bt_core.errors import one_sentence
    from bt_core.steps.retrain.fresh import ROLES
    from bt_runtime.finish import finish
    from bt_runtime.parameters import overrides
    from bt_runtime.retraining import begin

    with one_sentence():
        settings = overrides(config, task, model, data, seed)
        splits = {"train": train.path, "val": val.path, "test": test.path}
        folders = Path(program.path), Path(champion.path), Path(rows.path)
        resolved, report, incumbent = begin(settings, {name: Path(path) for name, path in splits.items()}, *folders)
        merged = resolved.model_dump_json()
        return merged, finish(report, merged, metrics, {ROLES: f"{rows.path}/{ROLES}"}, splits), incumbent
